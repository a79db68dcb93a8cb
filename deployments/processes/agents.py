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
    observed = [_checked(row) for row in rows]
    known = ReplicaState.objects.in_bulk([row["id"] for row in observed])
    changed = [row["id"] for row in observed if _store(agent, host, row, known.get(row["id"]), now)]
    mine = ReplicaState.objects.filter(agent=agent)
    gone = mine.exclude(pk__in=[row["id"] for row in observed])
    changed += gone.values_list("pk", flat=True)
    gone.delete()
    mine.update(reported_at=now)
    for build in builds:
        _store_build(agent, build, now)
    for replica in Replica.objects.filter(pk__in=changed).select_related("endpoint__environment"):
        announce_endpoint(replica.endpoint)
    return agent_goal(agent=agent, now=now)


def _checked(row: Any) -> dict[str, Any]:
    if not isinstance(row, dict) or not isinstance(row.get("id"), str) or row.get("state") not in STATES:
        raise Invalid("A replica has an id and a known state.", details={"replicas": "id and state"})
    return row


def _store(agent: str, host: str, row: dict[str, Any], old: ReplicaState | None, now: datetime) -> bool:
    """Store one observation; return whether it is news to people. A restart keeps the address known, because it stays the same."""
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
    }
    if row["state"] == "ready" and values["ready_at"] is None:
        values["ready_at"] = now
    if old is None or _differ(old, values, *values):
        # Most replicas say the same again and again: nothing is written of them but that they were heard.
        ReplicaState.objects.update_or_create(pk=row["id"], defaults={**values, "reported_at": now})
    return old is None or _differ(old, values, "state", "message", "address")


def _differ(old: ReplicaState, values: dict[str, Any], *names: str) -> bool:
    return any(getattr(old, name) != values[name] for name in names)


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


@transaction.atomic
def agent_goal(*, agent: str, now: datetime) -> list[Replica]:
    """Return the wanted replicas of this agent, after it took over those that nobody runs. Asking twice is harmless."""
    wanted = Replica.objects.filter(wanted=True, platform=PLATFORM)
    silent = now - timedelta(seconds=limits.AGENT_LEASE_S)
    heard = set(
        ReplicaState.objects.filter(reported_at__gt=silent).exclude(agent=agent).values_list("agent", flat=True)
    )
    wanted.exclude(Q(agent=agent) | Q(agent__in=heard)).filter(Q(agent="") | Q(created_at__lt=silent)).update(
        agent=agent
    )
    return list(wanted.filter(agent=agent).select_related("endpoint__environment", "version__model", "serving_config"))
