"""What the route table of an environment should say: built from arms, replicas and keys (docs/wire.md section 2)."""

from datetime import datetime
from typing import Any

from dataplane.wire.route_table import FORMAT
from deployments.lifecycle import Arm
from deployments.models import Endpoint, EndpointArm, GatewayKey, Replica, ReplicaState
from deployments.rollout.strategies.targeting import targets_of
from deployments.routes.revisions import newest_table
from registry.models import Environment

READY = "ready"


def build(environment: Environment, now: datetime) -> dict[str, Any]:
    """What the route table should say, without its revision.

    An endpoint that cannot be served as wanted (an arm with traffic but no replica that was ever ready) keeps the entry
    it had.
    """
    newest = newest_table(environment)
    published = newest.document["endpoints"] if newest else {}
    rows = Endpoint.objects.filter(environment=environment).select_related("model").order_by("name")
    endpoints = {}
    for endpoint in rows.prefetch_related("arms__version", "arms__release__serving_config", "arms__release__replaces"):
        entry = _endpoint(endpoint)
        if entry is None and endpoint.arms.all():
            entry = published.get(endpoint.name)
        if entry is not None:
            endpoints[endpoint.name] = entry
    return {"format": FORMAT, "environment": environment.name, "keys": _keys(environment, now), "endpoints": endpoints}


def _endpoint(endpoint: Endpoint) -> dict[str, Any] | None:
    """The entry of an endpoint, or None when it has no arm, or an arm with traffic or chosen requests and
    nobody to serve it."""
    rows = sorted(endpoint.arms.all(), key=lambda row: (row.arm == Arm.STABLE, row.pk))
    arms = [_arm(row) for row in rows]
    if not arms or any(arm["weight_pct"] and not arm["replicas"] for arm in arms):
        return None
    leading = rows[0]
    config = leading.release.serving_config
    entry = {
        "release": str(leading.release_id),
        "salt": str(leading.release_id),
        "timeout_ms": config.timeout_ms,
        "max_body_bytes": config.max_body_bytes,
        "max_in_flight": config.max_in_flight,
        "max_batch_rows": config.max_batch_rows,
        "max_batch_delay_ms": config.max_batch_delay_ms,
        "retry_on_stable": config.retry_on_stable,
        "log": {"share_pct": float(config.log_share_pct), "redacted": list(config.log_redacted)},
        "arms": sorted(arms, key=lambda arm: arm["arm"] != Arm.STABLE),
    }
    slos_ms, targets = _slos_ms(leading), _targets(leading)
    if targets and not any(arm["arm"] == targets["arm"] and arm["replicas"] for arm in arms):
        return None
    return entry | ({"slos_ms": slos_ms} if slos_ms else {}) | ({"targets": targets} if targets else {})


def _targets(leading: EndpointArm) -> dict[str, Any] | None:
    """The requests that are chosen for the release that rolls out; an endpoint's first release chooses none."""
    if leading.arm != Arm.CANDIDATE or leading.release.plan.get("replaces") is None:
        return None
    return targets_of(leading.release.strategy, leading.arm)


def _slos_ms(leading: EndpointArm) -> list[float]:
    """The latency objectives that the guardrails of a release name, while it rolls out."""
    if leading.arm == Arm.STABLE:
        return []
    return sorted({float(row["slo_ms"]) for row in leading.release.guardrails if "slo_ms" in row})


def _arm(row: EndpointArm) -> dict[str, Any]:
    entry = {
        "arm": row.arm,
        "version": str(row.version.number),
        "weight_pct": row.weight_pct,
        "release": str(row.release_id),
        "replicas": _replicas(row),
    }
    return entry | ({"mirror_pct": row.mirror_pct} if row.mirror_pct else {})


def _replicas(row: EndpointArm) -> list[dict[str, str]]:
    """The ready replicas of an arm; when none is, those that were ready: their agent restarts them under the same
    address.
    """
    mine = Replica.baseline_of(row.release) if row.arm == Arm.BASELINE else Replica.of(row.release)
    running = Replica.objects.filter(mine, wanted=True, removed_from_routes_at=None)
    replicas = running.order_by("pk")
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
