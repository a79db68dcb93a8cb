"""What runs, as Prometheus reads it: releases, what endpoints serve, replicas, processes, and what is behind."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import product

from django.db.models import Count, Max, Min
from prometheus_client.metrics_core import Metric

from deployments.lifecycle import ENDED_STATUSES, OPEN_STATUSES, ReleaseStatus
from deployments.models import Endpoint, EndpointArm, GatewayState, Release, Replica, ReplicaState
from deployments.routes.build import READY
from deployments.routes.revisions import newest_revisions
from mlorch_site.audit.models import AuditHead, VerificationRun
from mlorch_site.lib.families import counters, gauge, gauges, type_Rows
from mlorch_site.notices.lifecycle import DeliveryStatus
from mlorch_site.notices.models import Delivery
from registry.models import Environment

REPLICAS_MAX = 2_000  # the newest, so that one scrape stays bounded
ENDPOINT = ("environment", "endpoint")
RELEASE_KINDS = ("release", "rollback")
MEBIBYTE = 1024 * 1024
FORGOTTEN = timedelta(hours=1)  # a process that was not heard of for so long was taken away on purpose


def deployment_families(now: datetime) -> Iterator[Metric]:
    """The families of releases, endpoints, replicas, processes and backlogs. `-1` stands for an age of something that
    is not there.
    """
    yield from _releases()
    yield from _endpoints()
    yield from _replicas()
    yield from _processes(now)
    yield from _backlogs(now)


def _releases() -> Iterator[Metric]:
    by = Release.objects.order_by().values_list("endpoint__environment__name", "kind", "status")
    counts = {(name, kind, status): count for name, kind, status, count in by.annotate(count=Count("pk"))}
    environments = list(Environment.objects.values_list("name", flat=True))
    labels = ("environment", "kind", "status")

    def of(statuses: frozenset[ReleaseStatus]) -> type_Rows:
        # Zeros too: the increase of a counter that was not there before is not seen.
        places = product(environments, RELEASE_KINDS, sorted(statuses))
        return [(place, float(counts.get(place, 0))) for place in places]

    yield gauges("releases_open", "Releases that have not ended.", labels, of(OPEN_STATUSES))
    yield counters("releases_ended", "Releases that ended.", labels, of(ENDED_STATUSES))


def _endpoints() -> Iterator[Metric]:
    arms = EndpointArm.objects.filter(endpoint__retired_at=None).select_related(
        "endpoint__environment", "endpoint__model", "version"
    )
    labels = (*ENDPOINT, "model", "arm", "version", "release")
    rows = [
        (
            (
                *(arm.endpoint.environment.name, arm.endpoint.name, arm.endpoint.model.name),
                *(arm.arm, str(arm.version.number), str(arm.release_id)),
            ),
            arm.weight_pct / 100,
        )
        for arm in arms.order_by("pk")
    ]
    yield gauges("endpoint_weight_ratio", "Share of an endpoint's traffic that an arm is to have.", labels, rows)
    silent = Endpoint.objects.filter(retired_at=None, arms=None).select_related("environment")
    unserved = [((one.environment.name, one.name), 1.0) for one in silent]
    yield gauges("endpoint_unserved", "1 for an endpoint that serves nothing yet.", ENDPOINT, unserved)


def _replicas() -> Iterator[Metric]:
    wanted = Replica.objects.filter(wanted=True).select_related("endpoint__environment", "version")
    replicas = list(wanted.order_by("-created_at")[:REPLICAS_MAX])
    states = ReplicaState.objects.in_bulk([replica.pk for replica in replicas])
    labels = (*ENDPOINT, "version", "replica")
    rows = [
        ((one.endpoint.environment.name, one.endpoint.name, str(one.version.number), one.pk), states.get(one.pk))
        for one in replicas
    ]
    ready = [(place, float(state is not None and state.state == READY)) for place, state in rows]
    yield gauges("replica_ready", "1 when a wanted replica is ready, 0 when it is not.", labels, ready)
    memory = [(place, float(state.memory_mb * MEBIBYTE)) for place, state in rows if state]
    yield gauges("replica_memory_bytes", "Memory of a replica's worker, as its agent last told.", labels, memory)
    restarts = [(place, float(state.restarts)) for place, state in rows if state]
    yield counters("replica_restarts", "How often a replica's worker was started again.", labels, restarts)


def _processes(now: datetime) -> Iterator[Metric]:
    published = [((name,), float(revision)) for name, revision in sorted(newest_revisions().items())]
    yield gauges("route_table_revision", "Newest published revision of routes.", ("environment",), published)
    forgotten = now - FORGOTTEN
    gateways = GatewayState.objects.filter(last_seen_at__gt=forgotten).order_by()
    seen = gateways.values_list("gateway", Max("last_seen_at"))
    ages = [((name,), (now - newest).total_seconds()) for name, newest in seen]
    yield gauges("gateway_report_age_seconds", "Since a gateway last asked for routes.", ("gateway",), ages)
    agents = ReplicaState.objects.filter(reported_at__gt=forgotten).order_by()
    told = agents.values_list("agent", Max("reported_at"))
    ages = [((name,), (now - newest).total_seconds()) for name, newest in told]
    yield gauges("agent_report_age_seconds", "Since an agent with replicas last reported.", ("agent",), ages)


def _backlogs(now: datetime) -> Iterator[Metric]:
    """How late what has a deadline is: Celery and its beat do all of it, so this is how far they are behind."""
    due = Release.objects.filter(due_at__lte=now).aggregate(oldest=Min("due_at"))["oldest"]
    late = "How late the release is that was due first; 0 when none is."
    yield gauge("release_due_lag_seconds", late, (now - due).total_seconds() if due else 0)
    waiting = Delivery.objects.filter(status=DeliveryStatus.WAITING)
    first = waiting.filter(due_at__lte=now).aggregate(oldest=Min("due_at"))["oldest"]
    yield gauge("deliveries_waiting", "Mails and webhooks that are not sent yet.", waiting.count())
    late = "How late the mail or webhook is that was due first; 0 when none is."
    yield gauge("delivery_due_lag_seconds", late, (now - first).total_seconds() if first else 0)
    given_up = Delivery.objects.filter(status=DeliveryStatus.GIVEN_UP).count()
    yield gauge("deliveries_given_up", "Mails and webhooks that were given up and not sent again.", given_up)
    yield from _record(now)


def _record(now: datetime) -> Iterator[Metric]:
    head = AuditHead.objects.filter(pk=1).first()
    sequence, covered = (head.sequence, head.checkpoint_size) if head else (0, 0)
    yield gauge("audit_sequence", "Sequence of the newest audit record.", sequence)
    yield gauge("audit_unchecked_records", "Audit records that no checkpoint covers yet.", max(0, sequence - covered))
    run = VerificationRun.objects.filter(pk=1).first()
    finished = run.finished_at if run else None
    age = "Since the audit record was last verified to its end."
    yield gauge("audit_verification_age_seconds", age, (now - finished).total_seconds() if finished else -1)
    holds = "1 when the last verification found the record whole, 0 when not, -1 when none has ended."
    yield gauge("audit_record_holds", holds, float(run.result.get("holds", False)) if run and finished else -1)
