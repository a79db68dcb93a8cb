"""The route table of an environment: built from arms, replicas and keys, published as a new revision when its content changed."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max

from deployments import limits
from deployments.lifecycle import Arm
from deployments.models import (
    Endpoint,
    EndpointArm,
    GatewayKey,
    GatewayState,
    Release,
    Replica,
    ReplicaState,
    RouteTable,
)
from mlorch_site.lib.hashing import content_hash
from mlorch_site.live import outbox
from registry.models import Environment

FORMAT = 1
READY = "ready"


def build(environment: Environment, now: datetime) -> dict[str, Any]:
    """Return what the route table should say, without its revision (docs/wire.md section 2).

    An endpoint that cannot be served as wanted (an arm with traffic but no replica that was ever ready) keeps the entry it had.
    """
    newest = latest(environment)
    published = newest.document["endpoints"] if newest else {}
    rows = Endpoint.objects.filter(environment=environment).select_related("model").order_by("name")
    endpoints = {}
    for endpoint in rows.prefetch_related("arms__version", "arms__release__serving_config"):
        entry = _endpoint(endpoint)
        if entry is None and endpoint.arms.all():
            entry = published.get(endpoint.name)
        if entry is not None:
            endpoints[endpoint.name] = entry
    return {"format": FORMAT, "environment": environment.name, "keys": _keys(environment, now), "endpoints": endpoints}


@transaction.atomic
def publish_if_changed(environment: Environment, *, reason: str, now: datetime) -> RouteTable | None:
    """Publish the next revision when the content differs from the newest one; return it, or None.

    Serialised by the environment's row, so that revisions rise without gaps. Calling twice is harmless.
    """
    Environment.objects.select_for_update().get(pk=environment.pk)
    document = build(environment, now)
    digest = content_hash(document)
    newest = latest(environment)
    if newest is not None and newest.content_hash == digest:
        return None
    revision = newest.revision + 1 if newest else 1
    table = RouteTable.objects.create(
        environment=environment,
        revision=revision,
        document={**document, "revision": revision},
        content_hash=digest,
        reason=reason[:300],
        created_at=now,
    )
    RouteTable.objects.filter(environment=environment, revision__lte=revision - limits.ROUTE_TABLES_KEPT).delete()
    outbox.publish("gateways", "gateway.changed", {"environment": environment.name, "revision": revision})
    return table


def publish_changed(environments: Iterable[Environment], *, reason: str, now: datetime) -> list[RouteTable]:
    """Publish the tables among `environments` whose content changed."""
    tables = [publish_if_changed(environment, reason=reason, now=now) for environment in environments]
    return [table for table in tables if table is not None]


def latest(environment: Environment) -> RouteTable | None:
    """Return the newest published table (reads the database)."""
    return RouteTable.objects.filter(environment=environment).order_by("-revision").first()


def wanted_revision(environment: Environment) -> int:
    """Return the newest published revision, 0 before the first."""
    return RouteTable.objects.filter(environment=environment).aggregate(newest=Max("revision"))["newest"] or 0


def live_gateways(now: datetime) -> list[GatewayState]:
    """Return the gateways that were heard within their lease."""
    since = now - timedelta(seconds=limits.GATEWAY_LEASE_S)
    return list(GatewayState.objects.filter(last_seen_at__gte=since).order_by("gateway"))


def why_unacknowledged(environment: Environment, revision: int, gateways: list[GatewayState]) -> str:
    """Return an empty string when every live gateway obeys `revision` or a newer one, else the sentence that says who does not."""
    if not gateways:
        return "No gateway is connected."
    for gateway in gateways:
        applied = gateway.applied.get(environment.name, 0)
        if applied >= revision:
            continue
        refused = gateway.refused.get(environment.name)
        if refused and refused.get("revision", 0) >= revision:
            return f"Gateway {gateway.gateway} refuses routes {refused['revision']}: {refused.get('error', '')}"
        return f"Gateway {gateway.gateway} has routes {applied}, not yet {revision}."
    return ""


def why_ejected(release: Release, gateways: list[GatewayState]) -> str:
    """Return an empty string unless one of `gateways` turned away from a replica of the release, else the sentence that says so.

    What is left of the candidate's replicas, or the stable arm, then answers for the ejected one: its share is no longer what the plan says.
    """
    for gateway in gateways:
        for lane in gateway.stats.get("lanes", []):
            if lane.get("release") == str(release.pk) and (ejections := lane.get("ejections")):
                replica, times = next(iter(ejections.items()))
                return (
                    f"Gateway {gateway.gateway} could not use replica {replica} of the new version ({times} "
                    f"time{'' if times == 1 else 's'}) and sends its requests elsewhere."
                )
    return ""


def applied_revision(environment: Environment, now: datetime) -> int:
    """Return the revision that every live gateway obeys, 0 when there is none."""
    return min((gateway.applied.get(environment.name, 0) for gateway in live_gateways(now)), default=0)


def _endpoint(endpoint: Endpoint) -> dict[str, Any] | None:
    """Return the entry of an endpoint, or None when it has no arm, or an arm with traffic and nobody to serve it."""
    rows = sorted(endpoint.arms.all(), key=lambda row: (row.arm == Arm.STABLE, row.pk))
    arms = [_arm(endpoint, row) for row in rows]
    if not arms or any(arm["weight_pct"] and not arm["replicas"] for arm in arms):
        return None
    leading = rows[0]
    config = leading.release.serving_config
    return {
        "release": str(leading.release_id),
        "salt": str(leading.release_id),
        "timeout_ms": config.timeout_ms,
        "max_body_bytes": config.max_body_bytes,
        "max_in_flight": config.max_in_flight,
        "max_batch_rows": config.max_batch_rows,
        "max_batch_delay_ms": config.max_batch_delay_ms,
        "retry_on_stable": config.retry_on_stable,
        "log": {"share_pct": float(config.log_share_pct), "redacted": list(config.log_redacted)},
        "platform": {"signature": rows[-1].version.signature},
        "arms": sorted(arms, key=lambda arm: arm["arm"] != Arm.STABLE),
    }


def _arm(endpoint: Endpoint, row: EndpointArm) -> dict[str, Any]:
    entry = {
        "arm": row.arm,
        "version": str(row.version.number),
        "weight_pct": row.weight_pct,
        "release": str(row.release_id),
        "replicas": _replicas(endpoint, row),
    }
    return entry | ({"mirror_pct": row.mirror_pct} if row.mirror_pct else {})


def _replicas(endpoint: Endpoint, row: EndpointArm) -> list[dict[str, str]]:
    """Return the ready replicas of an arm; when none is, those that were ready: their agent restarts them under the same address."""
    replicas = Replica.objects.filter(
        endpoint=endpoint, version=row.version_id, wanted=True, removed_from_routes_at=None
    ).order_by("pk")
    states = ReplicaState.objects.in_bulk([replica.pk for replica in replicas])
    known = [
        state
        for replica in replicas
        if (state := states.get(replica.pk)) and state.address and state.ready_at is not None
    ]
    chosen = [state for state in known if state.state == READY] or known
    return [{"id": state.replica_id, "address": state.address} for state in chosen]


def _keys(environment: Environment, now: datetime) -> list[dict[str, Any]]:
    keys = GatewayKey.objects.filter(revoked_at=None).order_by("created_at", "pk")
    return [
        {
            "prefix": key.prefix,
            "digest": key.digest,
            "endpoints": key.endpoints,
            "expires_at": int(key.expires_at.timestamp()) if key.expires_at else None,
        }
        for key in keys
        if key.is_live(now) and (key.environments == ["*"] or environment.name in key.environments)
    ]
