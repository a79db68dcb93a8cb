"""Read everything the plan needs about one rollout, at one moment. Writes nothing."""

from dataclasses import dataclass
from datetime import datetime

from deployments.group_selectors import why_not_promote_together
from deployments.lifecycle import LIVE_STATUSES, Phase, ReleaseStatus
from deployments.models import Release, Replica, ReplicaState, Rollout
from deployments.rollout.alerting import why_alert_takes_back
from deployments.rollout.closing import why_held
from deployments.rollout.judgement import Watch, watch
from deployments.rollout.snapshot import ReplicasSnapshot, Snapshot
from deployments.rollout.steps import steps_from_plan
from deployments.routes.acknowledgement import live_gateways, why_ejected, why_unacknowledged
from deployments.routes.build import READY
from registry.lifecycle import ChangedOutside
from registry.selectors import is_stored, why_changed_outside
from registry.version_lifecycle import why_out_of_use

FAILED = "failed"


@dataclass(frozen=True)
class Observation:
    """The rows as read (their `row_version` fences the write) and the snapshot for the plan."""

    release: Release
    rollout: Rollout
    watch: Watch
    snapshot: Snapshot


def observe(release_id: str, now: datetime) -> Observation | None:
    """What is to be seen of a live rollout, or None when the release has none."""
    rows = Release.objects.select_related(
        "rollout",
        "endpoint__environment",
        "endpoint__model",
        "version__model",
        "serving_config",
        "replaces__version",
        "policy",
        "group",
    )
    release = rows.filter(pk=release_id, status__in=LIVE_STATUSES, rollout__isnull=False).first()
    if release is None:
        return None
    rollout = release.rollout
    watched = watch(release, rollout, now)
    return Observation(release, rollout, watched, _snapshot(release, rollout, watched, now))


def _snapshot(release: Release, rollout: Rollout, watched: Watch, now: datetime) -> Snapshot:
    environment = release.endpoint.environment
    gateways = live_gateways(now)
    changed_outside, when_changed_outside = _withdrawn(release)
    return Snapshot(
        phase=Phase(rollout.phase),
        step=rollout.step,
        steps=steps_from_plan(release.plan),
        weight_pct=rollout.weight_pct,
        version=release.version.number,
        restores=release.kind == "rollback",
        candidate=_replicas(release),
        has_stable=release.replaces_id is not None,
        guarded=bool(release.guardrails) and release.replaces_id is not None,
        judge_deadline_s=int(release.plan.get("judge_deadline_s", 0)),
        gateways_live=len(gateways),
        unacknowledged=why_unacknowledged(environment, rollout.route_revision, gateways),
        step_began_at=rollout.step_began_at,
        applied_at=rollout.applied_at,
        deadline_at=rollout.deadline_at,
        joint=why_not_promote_together(release),
        paused_at=rollout.paused_at,
        paused_s=rollout.paused_s,
        closed=why_held(release, now),
        alarmed=why_alert_takes_back(release, now),
        held_at=rollout.held_at,
        step_requests=rollout.step_candidate_requests + watched.step_candidate,
        judged=watched.judged,
        split_off=watched.split_off,
        ejected=why_ejected(release, gateways),
        changed_outside=changed_outside,
        when_changed_outside=when_changed_outside,
        disagrees=watched.disagrees,
        unsettled=watched.unsettled,
        wish=rollout.wish,
        wish_by=rollout.wish_by,
        wish_reason=rollout.wish_reason,
        outcome=ReleaseStatus(rollout.outcome) if rollout.outcome else None,
        outcome_reason=rollout.outcome_reason,
    )


def _withdrawn(release: Release) -> tuple[str, ChangedOutside]:
    """What MLflow did to the candidate or people decided about it, and what follows: what is out of use goes back,
    whatever the policy says of changes in MLflow. A rollback by hand is not held up: what it restores lies in our
    store.
    """
    when = ChangedOutside(release.policy.when_changed_outside)
    if release.kind == "rollback":
        return "", when
    if why := why_out_of_use(release.version):
        return why, ChangedOutside.GO_BACK
    return why_changed_outside(release.version, release.digest), when


def _replicas(release: Release) -> ReplicasSnapshot:
    """How the replicas of the release stand, those of its fresh baseline among them."""
    mine = Replica.of(release) | Replica.baseline_of(release)
    replicas = Replica.objects.filter(mine, wanted=True, removed_from_routes_at=None)
    names = list(replicas.values_list("pk", flat=True))
    states = ReplicaState.objects.in_bulk(names)
    ready = sum(1 for state in states.values() if state.state == READY)
    failed = [state for state in states.values() if state.state == FAILED]
    return ReplicasSnapshot(
        wanted=len(names),
        ready=ready,
        failed=f"Replica {failed[0].replica_id} failed: {failed[0].message}" if failed else "",
        waiting=_waiting(release, names, states),
    )


def _waiting(release: Release, names: list[str], states: dict[str, ReplicaState]) -> str:
    if len(states) < len(names) and not is_stored(release.digest):
        return f"The artifacts {release.digest[:19]}… of {release.version} are not in the artifact store."
    for name in names:
        state = states.get(name)
        if state is None:
            return f"Replica {name} waits for an agent."
        if state.state != READY:
            return f"Replica {name} is {state.state}." + (f" {state.message}" if state.message else "")
    return ""
