"""What agents report, and the replicas they should run (docs/wire.md section 5)."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from dataplane.wire import shapes
from dataplane.wire.agent_sync import AgentReport, BuildObservation, ReplicaObservation
from deployments import limits
from deployments.journal import announce_endpoint
from deployments.models import AgentState, EnvironmentBuild, Replica, ReplicaState
from mlorch_site.lib import clock
from registry.selectors import open_findings
from registry.services import finding_add, version_profile_seen

PLATFORM = "local"
JOINING_ENDED = "joining_ended"


@transaction.atomic
def agent_report(*, agent: str, report: AgentReport, now: datetime) -> list[Replica]:
    """Store what an agent observes and return the replicas it should run, with those that it takes over now.

    Repeating a report is harmless.
    """
    known = ReplicaState.objects.in_bulk([seen.id for seen in report.replicas])
    changed = [seen.id for seen in report.replicas if _store(agent, report.host, seen, known.get(seen.id), now)]
    mine = ReplicaState.objects.filter(agent=agent)
    gone = mine.exclude(pk__in=[seen.id for seen in report.replicas])
    if lost := list(gone.values_list("pk", flat=True)):
        changed += lost
        gone.delete()
    mine.update(reported_at=now)
    _store_agent(agent, report)
    for build in report.environments:
        _store_build(agent, build, now)
    for replica in Replica.objects.filter(pk__in=changed).select_related("endpoint__environment"):
        announce_endpoint(replica.endpoint)
    return agent_goal(agent=agent, now=now)


def _store(agent: str, host: str, seen: ReplicaObservation, old: ReplicaState | None, now: datetime) -> bool:
    """Store one observation; return whether it is news to people.

    A restart keeps the address known, because it stays the same.
    """
    ready_at = clock.from_unix(seen.ready_at) if seen.ready_at else old.ready_at if old else None
    values = {
        "agent": agent,
        "host": host,
        "generation": seen.generation,
        "state": seen.state,
        "pid": seen.pid,
        "address": seen.address or (old.address if old else ""),
        "restarts": seen.restarts,
        "message": seen.message,
        "memory_mb": seen.memory_mb,
        "profile": shapes.plain(seen.profile) if seen.profile is not None else old.profile if old else {},
        "sandbox": seen.sandbox,
        "ready_at": now if seen.state == "ready" and ready_at is None else ready_at,
    }
    if old is None or _differ(old, values, *values):
        # Most replicas say the same again and again: nothing is written of them but that they were heard.
        ReplicaState.objects.update_or_create(pk=seen.id, defaults={**values, "reported_at": now})
    if seen.profile is not None and (old is None or old.profile != values["profile"]):
        _keep_as_evidence(seen, values["profile"])
    if values["profile"].get("alarm") and not (old and old.profile.get("alarm")):
        _tell_of_alarm(seen, now)
    return old is None or _differ(old, values, "state", "message", "address", "profile")


def _keep_as_evidence(seen: ReplicaObservation, profile: dict[str, Any]) -> None:
    replica = Replica.objects.filter(pk=seen.id).select_related("version").first()
    if replica is not None and seen.digest:
        version_profile_seen(version=replica.version, digest=seen.digest, profile=profile)


def _tell_of_alarm(seen: ReplicaObservation, now: datetime) -> None:
    """Show a finding: somebody may have got an answer that rests on another's data."""
    replica = Replica.objects.filter(pk=seen.id).select_related("endpoint__environment", "version__model").first()
    if replica is None or seen.profile is None:
        return
    told = open_findings(replica.version.model).filter(kind=JOINING_ENDED, data__replica=seen.id)
    if told.exists():
        return
    version = f"version {replica.version.number} at {replica.endpoint}"
    finding_add(
        model=replica.version.model,
        kind=JOINING_ENDED,
        summary=f"{version}: {seen.profile.alarm}. Its replica {seen.id} answers one request at a time since.",
        data={"replica": seen.id, "version": replica.version.number, "endpoint": str(replica.endpoint)},
        now=now,
    )


def _store_agent(agent: str, report: AgentReport) -> None:
    values = {"host": report.host, "sandbox": report.sandbox}
    if not AgentState.objects.filter(pk=agent, **values).exists():
        AgentState.objects.update_or_create(pk=agent, defaults=values)


def _differ(old: ReplicaState, values: dict[str, Any], *names: str) -> bool:
    return any(getattr(old, name) != values[name] for name in names)


def _store_build(agent: str, build: BuildObservation, now: datetime) -> None:
    values = {"state": build.state, "progress": build.progress, "log_tail": build.log_tail}
    known = EnvironmentBuild.objects.filter(agent=agent, key=build.key).first()
    if known is None or any(getattr(known, name) != value for name, value in values.items()):
        EnvironmentBuild.objects.update_or_create(agent=agent, key=build.key, defaults={**values, "updated_at": now})


@transaction.atomic
def agent_goal(*, agent: str, now: datetime) -> list[Replica]:
    """The wanted replicas of this agent, after it took over those that nobody runs. Asking twice is harmless."""
    wanted = Replica.objects.filter(wanted=True, platform=PLATFORM)
    silent = now - timedelta(seconds=limits.AGENT_LEASE_S)
    heard = set(
        ReplicaState.objects.filter(reported_at__gt=silent).exclude(agent=agent).values_list("agent", flat=True)
    )
    wanted.exclude(Q(agent=agent) | Q(agent__in=heard)).filter(Q(agent="") | Q(created_at__lt=silent)).update(
        agent=agent
    )
    return list(wanted.filter(agent=agent).select_related("endpoint__environment", "version__model", "serving_config"))
