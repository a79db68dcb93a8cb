"""What every change to a release or an endpoint leaves behind.

One verb: a line of the history, an audit record, the announcement.
"""

from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from django.db import transaction

from deployments.models import Endpoint, EndpointArm, Release, ReleaseEvent, TrafficChange
from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib.hashing import settled
from mlorch_site.live import outbox

log = structlog.get_logger(__name__)

GOAL_TOPIC = "agents"
SENTENCE_MAX_CHARS = 500  # of a change of traffic


@dataclass(frozen=True)
class AuditEntry:
    """What the audit record says besides the line.

    Unless given, its subject is the release, its reason the line's sentence.
    """

    action: str
    data: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None
    subject: Subject | None = None


def write(
    release: Release,
    kind: str,
    sentence: str,
    *,
    actor: Actor,
    now: datetime,
    old: str = "",
    new: str = "",
    data: dict[str, Any] | None = None,
    audit: AuditEntry | None = None,
) -> None:
    """Add a line to the release's history, with `audit` a record too, and announce it.

    Belongs into the change's transaction.
    """
    ReleaseEvent.objects.create(
        release=release,
        at=now,
        kind=kind,
        old=old,
        new=new,
        sentence=sentence,
        actor=actor.name,
        data=settled(data or {}),
    )
    if audit is not None:
        subject = audit.subject or Subject("release", str(release.pk), str(release), tuple(release.scopes))
        reason = sentence if audit.reason is None else audit.reason
        audit_record(actor, audit.action, subject, reason=reason, data=audit.data)
    announce(release)
    transaction.on_commit(partial(_log, release, kind, sentence, actor), robust=True)


def _log(release: Release, kind: str, sentence: str, actor: Actor) -> None:
    """Say in the log what is history now, with what it is found by; the request or task is bound to every line."""
    endpoint = release.endpoint
    log.info(
        f"release.{kind}",
        release=str(release.pk),
        endpoint=f"{endpoint.environment.name}/{endpoint.name}",
        version=release.version.number,
        actor=actor.name,
        sentence=sentence,
        **({"request_id": actor.request_id} if actor.request_id else {}),
    )


def write_endpoint(
    endpoint: Endpoint, action: str, *, actor: Actor, reason: str = "", data: dict[str, Any] | None = None
) -> None:
    """Record what was done to an endpoint and announce it; an endpoint has no history of its own."""
    audit_record(actor, action, endpoint_subject(endpoint), reason=reason, data=data)
    announce_endpoint(endpoint)


def write_traffic(
    endpoint: Endpoint,
    sentence: str,
    *,
    actor: Actor,
    now: datetime,
    release: Release | None = None,
    revision: int = 0,
) -> None:
    """Keep how the endpoint stands after a change of its traffic, unless it stands as before.

    Belongs into the change's transaction, after it. `release` is the one whose rollout made the change, `revision` the
    route table that carries it.
    """
    stands = _stands(endpoint)
    newest = endpoint.traffic_changes.order_by("-id").first()
    if newest is not None and all(getattr(newest, name) == value for name, value in stands.items()):
        return
    TrafficChange.objects.create(
        endpoint=endpoint,
        at=now,
        sentence=sentence[:SENTENCE_MAX_CHARS],
        actor=actor.name,
        release=release,
        route_revision=revision,
        **stands,
    )


def _stands(endpoint: Endpoint) -> dict[str, Any]:
    """How the endpoint stands in the database; the row at hand may be older."""
    stable, retired_at = Endpoint.objects.values_list("stable_release", "retired_at").get(pk=endpoint.pk)
    arms = [
        {"arm": arm.arm, "release": str(arm.release_id), "weight_pct": arm.weight_pct, "mirror_pct": arm.mirror_pct}
        for arm in EndpointArm.objects.filter(endpoint=endpoint).order_by("pk")
    ]
    return {"stable_release_id": stable, "is_retired": retired_at is not None, "arms": arms}


def announce(release: Release) -> None:
    """Publish that the release looks different, on its own topic and on the list's."""
    data = {"release": str(release.pk), "status": release.status}
    outbox.publish(f"release.{release.pk}", "release.changed", data)
    outbox.publish("releases", "release.changed", data)


def announce_endpoint(endpoint: Endpoint) -> None:
    """Publish that the endpoint looks different, on its own topic and on the list's."""
    topic = f"endpoint.{endpoint.environment.name}.{endpoint.name}"
    data = {"environment": endpoint.environment.name, "endpoint": endpoint.name}
    outbox.publish(topic, "endpoint.changed", data)
    outbox.publish("endpoints", "endpoint.changed", data)


def announce_goal() -> None:
    """Publish that agents should run something else: those that wait for it ask again."""
    outbox.publish(GOAL_TOPIC, "goal.changed")


def endpoint_subject(endpoint: Endpoint) -> Subject:
    """How the audit record names an endpoint."""
    return Subject("endpoint", str(endpoint.pk), str(endpoint), tuple(endpoint.scopes))
