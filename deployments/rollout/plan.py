"""What to do next with one rollout: facts in, one decision out. Pure, so that every road can be walked in a test.

Order of precedence: finish what is on its way back, then what a person ordered, then danger, then pause, then an
environment that is closed, then deadlines, then the plan.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias, assert_never

from deployments import limits
from deployments.lifecycle import Phase, ReleaseStatus
from deployments.rollout.snapshot import Snapshot
from deployments.rollout.steps import Step, StepKind, has_baseline
from registry.lifecycle import ChangedOutside

HEALTHY, HARMFUL = "healthy", "harmful"


@dataclass(frozen=True)
class Wait:
    """Nothing to do before `until`; `reason` is shown to people. `is_held`: the environment is closed, so the clock
    stands still. `is_joined`: it would be promoted, were it not for others of its group.
    """

    reason: str
    until: datetime
    is_held: bool = False
    is_joined: bool = False


@dataclass(frozen=True)
class Enter:
    """Go on to a step. A `weight_pct` is to be published; None leaves the weights as they are."""

    step: int
    phase: Phase
    sentence: str
    deadline_at: datetime
    weight_pct: int | None = None
    mirror_pct: int = 0
    baseline_pct: int = 0


@dataclass(frozen=True)
class Revert:
    """Publish the old weights, whatever else is the case; `outcome` is the status once that is acknowledged."""

    outcome: ReleaseStatus
    reason: str


@dataclass(frozen=True)
class Finish:
    """End the release. `warning` is what did not go as it should and does not end with it."""

    status: ReleaseStatus
    reason: str
    warning: str = ""


Decision: TypeAlias = Wait | Enter | Revert | Finish


def plan(snapshot: Snapshot, now: datetime) -> Decision:
    """The one thing to do now."""
    if snapshot.phase is Phase.DONE:
        return Wait("The rollout has ended.", now + timedelta(seconds=limits.LOOK_IDLE_S))
    if snapshot.phase is Phase.REVERTING:
        return _reverting(snapshot, now)
    back = _ordered_back(snapshot) or _danger(snapshot) or _withdrawn(snapshot) or _alarmed(snapshot)
    return back or _forward(snapshot, now)


def _forward(snapshot: Snapshot, now: datetime) -> Decision:
    is_wished = snapshot.wish == "promote" and snapshot.phase is not Phase.PROMOTING
    if is_wished and snapshot.candidate.all_ready and not snapshot.held:
        return _unless_joint(snapshot, _enter(snapshot, len(snapshot.steps) - 1, now), now)
    if snapshot.paused_at is not None and snapshot.phase is not Phase.PROMOTING:
        return _paused(snapshot, now)
    reason = _not_yet(snapshot, now)
    if not reason:
        return _unless_joint(snapshot, _unless_held(snapshot, _finished_step(snapshot, now), now), now)
    if _is_overdue(snapshot, now):
        return _overdue(snapshot, reason)
    return Wait(reason, _next_look(snapshot, now), is_held=bool(snapshot.held))


def _unless_held(snapshot: Snapshot, decision: Decision, now: datetime) -> Decision:
    """While the environment is closed no traffic moves towards the candidate: the step that would do it waits.

    Steps that only watch are entered all the same, so that harm is seen.
    """
    if not snapshot.held or not isinstance(decision, Enter) or decision.weight_pct is None:
        return decision
    return Wait(snapshot.held, now + timedelta(seconds=limits.LOOK_S), is_held=True)


def _unless_joint(snapshot: Snapshot, decision: Decision, now: datetime) -> Decision:
    """What would be promoted waits for the others of its group, and goes on being judged. The group has a deadline."""
    if not snapshot.joint or not isinstance(decision, Enter) or decision.phase is not Phase.PROMOTING:
        return decision
    return Wait(snapshot.joint, now + timedelta(seconds=limits.LOOK_S), is_joined=True)


def _is_overdue(snapshot: Snapshot, now: datetime) -> bool:
    """Whether the deadline passed; the time during which the rollout was held does not count, and a person who is
    asked has as long as at a step that waits for one.
    """
    if snapshot.held or snapshot.deadline_at is None:
        return False
    held_for = now - snapshot.held_at if snapshot.held_at else timedelta()
    asked_for = timedelta(seconds=limits.HOLD_DEADLINE_S if snapshot.for_a_person else 0)
    return now >= snapshot.deadline_at + held_for + asked_for


def _reverting(snapshot: Snapshot, now: datetime) -> Decision:
    """Old weights are published; only live gateways can hold the end up, one that dies stops counting, and none does
    for ever.

    What a gateway that does not obey still uses is not stopped under it: its replicas live until it obeys or is gone.
    """
    outcome = snapshot.outcome or ReleaseStatus.ROLLED_BACK
    if not snapshot.unacknowledged or not snapshot.gateways_live:
        return Finish(outcome, snapshot.outcome_reason)
    if snapshot.deadline_at is None or now < snapshot.deadline_at:
        return Wait(snapshot.unacknowledged, now + timedelta(seconds=limits.LOOK_S))
    warning = (
        f"{snapshot.unacknowledged[: limits.UNACKNOWLEDGED_MAX_CHARS]} "
        f"It may still send requests to version {snapshot.version}, whose replicas run on until it obeys or is stopped."
    )
    return Finish(outcome, snapshot.outcome_reason, warning)


def _ordered_back(snapshot: Snapshot) -> Decision | None:
    said = f" {snapshot.wish_reason}" if snapshot.wish_reason else ""
    if snapshot.wish == "abort":
        return _go_back(snapshot, ReleaseStatus.ABORTED, f"Aborted by {snapshot.wish_by}.{said}")
    if snapshot.wish == "rollback":
        return _go_back(snapshot, ReleaseStatus.ROLLED_BACK, f"Rolled back by {snapshot.wish_by}.{said}")
    return None


def _danger(snapshot: Snapshot) -> Decision | None:
    """The way back when the candidate does harm, or cannot serve."""
    if snapshot.judged is not None and snapshot.judged.verdict == HARMFUL:
        return _go_back(snapshot, ReleaseStatus.ROLLED_BACK, f"Harmful: {snapshot.judged.sentence}")
    if snapshot.disagrees:
        return _go_back(snapshot, ReleaseStatus.ROLLED_BACK, snapshot.disagrees)
    bad_end = _bad_end(snapshot)
    if snapshot.candidate.failed:
        return _go_back(snapshot, bad_end, snapshot.candidate.failed)
    if snapshot.ejected:
        return _go_back(snapshot, bad_end, snapshot.ejected)
    if snapshot.phase is not Phase.STARTING and not snapshot.candidate.all_ready:
        whose = "the new version and its baseline" if has_baseline(snapshot.steps) else "the new version"
        ready = f"{snapshot.candidate.ready} of {snapshot.candidate.wanted}"
        return _go_back(
            snapshot, bad_end, f"Only {ready} replicas of {whose} are still ready: {snapshot.candidate.waiting}"
        )
    return None


def _bad_end(snapshot: Snapshot) -> ReleaseStatus:
    """How a release ends that goes back by itself: where nobody noticed it, it only failed."""
    is_seen = snapshot.has_traffic and snapshot.has_stable
    return ReleaseStatus.ROLLED_BACK if is_seen else ReleaseStatus.FAILED


def _withdrawn(snapshot: Snapshot) -> Decision | None:
    """The way back when MLflow does not have any more what was approved, and the policy wants no other."""
    if not snapshot.changed_outside or snapshot.when_changed_outside is not ChangedOutside.GO_BACK:
        return None
    return _go_back(snapshot, _bad_end(snapshot), snapshot.changed_outside)


def _alarmed(snapshot: Snapshot) -> Decision | None:
    """The way back when an alert takes the rollout back."""
    return _go_back(snapshot, _bad_end(snapshot), snapshot.alarmed) if snapshot.alarmed else None


def _go_back(snapshot: Snapshot, outcome: ReleaseStatus, reason: str) -> Decision:
    """Before anything was published there is nothing to take back."""
    return Finish(outcome, reason) if snapshot.phase is Phase.STARTING else Revert(outcome, reason)


def _paused(snapshot: Snapshot, now: datetime) -> Decision:
    assert snapshot.paused_at is not None
    end = snapshot.paused_at + timedelta(seconds=limits.PAUSE_DEADLINE_S)
    if now >= end:
        return _go_back(snapshot, ReleaseStatus.ROLLED_BACK, "Nobody resumed the paused rollout in time.")
    return Wait(f"Paused; it goes back by itself at {_clock(end)}.", now + timedelta(seconds=limits.LOOK_S))


def _not_yet(snapshot: Snapshot, now: datetime) -> str:
    """Why the current step is not over, or an empty string when it is."""
    is_held = snapshot.when_changed_outside is ChangedOutside.HOLD and snapshot.wish != "promote"
    if snapshot.changed_outside and is_held:
        return f"{snapshot.changed_outside} The policy holds the rollout; a person can promote it or take it back."
    return _step_left(snapshot, now) or snapshot.for_a_person


def _step_left(snapshot: Snapshot, now: datetime) -> str:
    """Why the current step is not over by itself."""
    match snapshot.phase:
        case Phase.STARTING:
            return "" if snapshot.candidate.all_ready else snapshot.candidate.waiting or "Replicas are starting."
        case Phase.SHIFTING | Phase.PROMOTING:
            return snapshot.unacknowledged
        case Phase.BAKING:
            return _bake_left(snapshot, now)
        case Phase.JUDGING:
            return _verdict_missing(snapshot)
        case Phase.HOLDING:
            return f"Waits for a person to promote. {snapshot.split_off}".strip()
        case Phase.REVERTING | Phase.DONE:
            return ""
        case _:
            assert_never(snapshot.phase)


def _bake_left(snapshot: Snapshot, now: datetime) -> str:
    step = snapshot.current
    since = snapshot.applied_at or snapshot.step_began_at
    end = since + timedelta(seconds=step.duration_s + snapshot.paused_s)
    if now < end:
        return f"Watching until {_clock(end)}."
    if snapshot.step_requests < step.min_requests:
        return f"{snapshot.step_requests:,} of {step.min_requests:,} requests of the new version have come."
    if snapshot.guarded and snapshot.step_requests == 0:
        return "No request has reached the new version yet."
    return snapshot.split_off


def _verdict_missing(snapshot: Snapshot) -> str:
    if snapshot.split_off or not snapshot.guarded:
        return snapshot.split_off or snapshot.unsettled
    if snapshot.judged is None:
        return "No request has been counted yet."
    if snapshot.for_a_person:
        return snapshot.for_a_person
    if snapshot.judged.verdict == HEALTHY:
        return snapshot.unsettled
    return snapshot.judged.waiting or snapshot.judged.sentence


def _finished_step(snapshot: Snapshot, now: datetime) -> Decision:
    if snapshot.phase is Phase.PROMOTING:
        return Finish(ReleaseStatus.SUCCEEDED, _success_sentence(snapshot))
    return _enter(snapshot, snapshot.step + 1, now)


def _success_sentence(snapshot: Snapshot) -> str:
    if snapshot.restores:
        return f"Version {snapshot.version} serves again."
    if not snapshot.has_stable:
        return "Promoted. It is the first release of this endpoint: there is no version to roll back to."
    return _with_evidence(snapshot, "Promoted.")


def _with_evidence(snapshot: Snapshot, sentence: str) -> str:
    """The sentence, with the judge's word on which it is so."""
    return f"{sentence} {snapshot.judged.sentence}" if snapshot.judged is not None else sentence


def _overdue(snapshot: Snapshot, reason: str) -> Decision:
    """The deadline passed: what is not known to be good goes back."""
    if snapshot.phase is Phase.STARTING:
        return Finish(ReleaseStatus.FAILED, f"The replicas were not ready in time. {reason}")
    if snapshot.phase in (Phase.BAKING, Phase.JUDGING):
        return Revert(ReleaseStatus.ROLLED_BACK, f"Inconclusive at the deadline: {reason}")
    return Revert(ReleaseStatus.ROLLED_BACK, f"The deadline passed: {reason}")


def _enter(snapshot: Snapshot, index: int, now: datetime) -> Enter:
    step = snapshot.steps[index]
    deadline = now + timedelta(seconds=_seconds_for(step, snapshot))
    match step.kind:
        case StepKind.START:
            return Enter(index, Phase.STARTING, "Replicas start.", deadline)
        case StepKind.TARGET:
            sentence = "The chosen requests go to the new version, and no others."
            return Enter(index, Phase.SHIFTING, sentence, deadline, weight_pct=0)
        case StepKind.WEIGHT:
            sentence = f"{step.weight_pct} % of the traffic goes to the new version."
            if step.baseline_pct:
                sentence = f"{sentence} As much goes to a fresh baseline."
            return Enter(index, Phase.SHIFTING, sentence, deadline, step.weight_pct, baseline_pct=step.baseline_pct)
        case StepKind.MIRROR:
            sentence = f"{step.weight_pct} % of the traffic is mirrored to the new version."
            return Enter(index, Phase.SHIFTING, sentence, deadline, weight_pct=0, mirror_pct=step.weight_pct)
        case StepKind.BAKE:
            sentence = f"Every gateway serves these weights; watching for {step.duration_s} s."
            return Enter(index, Phase.BAKING, sentence, deadline)
        case StepKind.JUDGE:
            return Enter(index, Phase.JUDGING, "The verdict decides.", deadline)
        case StepKind.HOLD:
            return Enter(index, Phase.HOLDING, "A person must promote.", deadline)
        case StepKind.PROMOTE:
            goes = f"goes back to version {snapshot.version}" if snapshot.restores else "goes to the new version"
            sentence = _with_evidence(snapshot, f"All traffic {goes}.")
            return Enter(index, Phase.PROMOTING, sentence, deadline, weight_pct=100)
        case _:
            assert_never(step.kind)


def _seconds_for(step: Step, snapshot: Snapshot) -> float:
    """How long a step may take before the rollout goes back."""
    match step.kind:
        case StepKind.BAKE:
            return step.duration_s + snapshot.judge_deadline_s
        case StepKind.JUDGE:
            return snapshot.judge_deadline_s
        case StepKind.HOLD:
            return limits.HOLD_DEADLINE_S
        case StepKind.START | StepKind.TARGET | StepKind.WEIGHT | StepKind.MIRROR | StepKind.PROMOTE:
            return limits.SHIFT_DEADLINE_S
        case _:
            assert_never(step.kind)


def _next_look(snapshot: Snapshot, now: datetime) -> datetime:
    idle = snapshot.phase is Phase.HOLDING
    return now + timedelta(seconds=limits.LOOK_IDLE_S if idle else limits.LOOK_S)


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S} UTC"
