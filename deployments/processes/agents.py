"""What agents report, and the goal they are answered (docs/wire.md section 5)."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from deployments import limits
from deployments.journal import announce_endpoint
from deployments.models import EnvironmentBuild, Replica, ReplicaState
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Invalid

PLATFORM = "local"
STATES = {"pending", "building", "starting", "warming", "ready", "backoff", "failed", "stopping", "stopped"}
LOG_TAIL_MAX_CHARS = 20_000


@transaction.atomic
def agent_report(*, agent: str, report: dict[str, Any], now: datetime) -> list[Replica]:
    """Store what an agent observes and return the replicas it should run, with those that it takes over now.

    Repeating a report is harmless. Raises Invalid for a report of another shape.
    """
    rows, builds = report.get("replicas", []), report.get("environments", [])
    if not isinstance(rows, list) or not isinstance(builds, list):
        raise Invalid("replicas and environments are lists.", details={"replicas": "a list", "environments": "a list"})
    host = str(report.get("host", ""))[:200]
    changed = [row["id"] for row in map(_checked, rows) if _store(agent, host, row, now)]
    reported = [row["id"] for row in rows]
    ReplicaState.objects.filter(agent=agent).exclude(pk__in=reported).delete()
    for build in builds:
        _store_build(agent, build, now)
    for replica in Replica.objects.filter(pk__in=changed).select_related("endpoint__environment"):
        announce_endpoint(replica.endpoint)
    return _goal(agent, now)


def _checked(row: Any) -> dict[str, Any]:
    if not isinstance(row, dict) or not isinstance(row.get("id"), str) or row.get("state") not in STATES:
        raise Invalid("A replica has an id and a known state.", details={"replicas": "id and state"})
    return row


def _store(agent: str, host: str, row: dict[str, Any], now: datetime) -> bool:
    """Store one observation; return whether it is news. A restart keeps the address known, because it stays the same."""
    old = ReplicaState.objects.filter(pk=row["id"]).first()
    ready_at = row.get("ready_at")
    values = {
        "agent": agent,
        "host": host,
        "generation": int(row.get("generation", 0)),
        "state": row["state"],
        "pid": row.get("pid"),
        "address": str(row.get("address") or (old.address if old else ""))[:300],
        "restarts": int(row.get("restarts", 0)),
        "message": str(row.get("message", ""))[:500],
        "memory_mb": int(row.get("memory_mb") or 0),
        "ready_at": clock.from_unix(ready_at) if ready_at else old.ready_at if old else None,
        "reported_at": now,
    }
    if row["state"] == "ready" and values["ready_at"] is None:
        values["ready_at"] = now
    ReplicaState.objects.update_or_create(pk=row["id"], defaults=values)
    return old is None or (old.state, old.message, old.address) != (
        values["state"],
        values["message"],
        values["address"],
    )


def _store_build(agent: str, build: dict[str, Any], now: datetime) -> None:
    values = {
        "state": str(build.get("state", ""))[:10],
        "progress": str(build.get("progress", ""))[:300],
        "log_tail": str(build.get("log_tail", ""))[-LOG_TAIL_MAX_CHARS:],
    }
    key = str(build.get("key", ""))[:64]
    known = EnvironmentBuild.objects.filter(agent=agent, key=key).first()
    if known is None or any(getattr(known, name) != value for name, value in values.items()):
        EnvironmentBuild.objects.update_or_create(agent=agent, key=key, defaults={**values, "updated_at": now})


def _goal(agent: str, now: datetime) -> list[Replica]:
    """Return the wanted replicas of this agent, after it took over those that nobody runs."""
    wanted = Replica.objects.filter(wanted=True, platform=PLATFORM)
    silent = now - timedelta(seconds=limits.AGENT_LEASE_S)
    heard = set(
        ReplicaState.objects.filter(reported_at__gt=silent).exclude(agent=agent).values_list("agent", flat=True)
    )
    wanted.exclude(Q(agent=agent) | Q(agent__in=heard)).filter(Q(agent="") | Q(created_at__lt=silent)).update(
        agent=agent
    )
    return list(wanted.filter(agent=agent).select_related("endpoint__environment", "version__model", "serving_config"))
