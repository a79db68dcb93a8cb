"""What to do next with one rollout: facts in, one decision out. Pure, so that every road can be walked in a test.

Order of precedence: finish what is on its way back, then what a person ordered, then danger, then pause, then deadlines, then the plan.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias, assert_never

from deployments import limits
from deployments.lifecycle import Phase, ReleaseStatus
from deployments.rollout.snapshot import Seen
from deployments.rollout.steps import Step, StepKind

HEALTHY, HARMFUL = "healthy", "harmful"


@dataclass(frozen=True)
class Wait:
    """Nothing to do before `until`; `reason` is shown to people."""

    reason: str
    until: datetime


@dataclass(frozen=True)
class Enter:
    """Go on to a step. A `weight_pct` is to be published; None leaves the weights as they are."""

    step: int
    phase: Phase
    sentence: str
    deadline_at: datetime
    weight_pct: int | None = None
    mirror_pct: int = 0


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


def plan(seen: Seen, now: datetime) -> Decision:
    """Return the one thing to do now."""
    if seen.phase is Phase.DONE:
        return Wait("The rollout has ended.", now + timedelta(seconds=limits.LOOK_IDLE_S))
    if seen.phase is Phase.REVERTING:
        return _reverting(seen, now)
    return _ordered_back(seen) or _danger(seen) or _forward(seen, now)


def _forward(seen: Seen, now: datetime) -> Decision:
    if seen.wish == "promote" and seen.phase is not Phase.PROMOTING and seen.candidate.all_ready:
        return _enter(seen, len(seen.steps) - 1, now)
    if seen.paused_at is not None and seen.phase is not Phase.PROMOTING:
        return _paused(seen, now)
    reason = _not_yet(seen, now)
    if not reason:
        return _finished_step(seen, now)
    if seen.deadline_at is not None and now >= seen.deadline_at:
        return _overdue(seen, reason)
    return Wait(reason, _next_look(seen, now))


def _reverting(seen: Seen, now: datetime) -> Decision:
    """Old weights are published; only live gateways can hold the end up, one that dies stops counting, and none does for ever.

    What a gateway that does not obey still uses is not stopped under it: its replicas live until it obeys or is gone.
    """
    outcome = seen.outcome or ReleaseStatus.ROLLED_BACK
    if not seen.unacknowledged or not seen.gateways_live:
        return Finish(outcome, seen.outcome_reason)
    if seen.deadline_at is None or now < seen.deadline_at:
        return Wait(seen.unacknowledged, now + timedelta(seconds=limits.LOOK_S))
    warning = (
        f"{seen.unacknowledged[: limits.UNACKNOWLEDGED_MAX_CHARS]} It may still send requests to version {seen.version}, "
        "whose replicas run on until it obeys or is stopped."
    )
    return Finish(outcome, seen.outcome_reason, warning)


def _ordered_back(seen: Seen) -> Decision | None:
    said = f" {seen.wish_reason}" if seen.wish_reason else ""
    if seen.wish == "abort":
        return _go_back(seen, ReleaseStatus.ABORTED, f"Aborted by {seen.wish_by}.{said}")
    if seen.wish == "rollback":
        return _go_back(seen, ReleaseStatus.ROLLED_BACK, f"Rolled back by {seen.wish_by}.{said}")
    return None


def _danger(seen: Seen) -> Decision | None:
    """Return the way back when the candidate does harm, or cannot serve."""
    if seen.judged is not None and seen.judged.verdict == HARMFUL:
        return _go_back(seen, ReleaseStatus.ROLLED_BACK, f"Harmful: {seen.judged.sentence}")
    if seen.disagrees:
        return _go_back(seen, ReleaseStatus.ROLLED_BACK, seen.disagrees)
    bad_end = ReleaseStatus.ROLLED_BACK if seen.has_traffic and seen.has_stable else ReleaseStatus.FAILED
    if seen.candidate.failed:
        return _go_back(seen, bad_end, seen.candidate.failed)
    if seen.ejected:
        return _go_back(seen, bad_end, seen.ejected)
    if seen.phase is not Phase.STARTING and not seen.candidate.all_ready:
        ready = f"{seen.candidate.ready} of {seen.candidate.wanted}"
        return _go_back(
            seen, bad_end, f"Only {ready} replicas of the new version are still ready: {seen.candidate.waiting}"
        )
    return None


def _go_back(seen: Seen, outcome: ReleaseStatus, reason: str) -> Decision:
    """Before anything was published there is nothing to take back."""
    return Finish(outcome, reason) if seen.phase is Phase.STARTING else Revert(outcome, reason)


def _paused(seen: Seen, now: datetime) -> Decision:
    assert seen.paused_at is not None
    end = seen.paused_at + timedelta(seconds=limits.PAUSE_DEADLINE_S)
    if now >= end:
        return _go_back(seen, ReleaseStatus.ROLLED_BACK, "Nobody resumed the paused rollout in time.")
    return Wait(f"Paused; it goes back by itself at {_clock(end)}.", now + timedelta(seconds=limits.LOOK_S))


def _not_yet(seen: Seen, now: datetime) -> str:
    """Return why the current step is not over, or an empty string when it is."""
    match seen.phase:
        case Phase.STARTING:
            return "" if seen.candidate.all_ready else seen.candidate.waiting or "Replicas are starting."
        case Phase.SHIFTING | Phase.PROMOTING:
            return seen.unacknowledged
        case Phase.BAKING:
            return _bake_left(seen, now)
        case Phase.JUDGING:
            return _verdict_missing(seen)
        case Phase.HOLDING:
            return f"Waits for a person to promote. {seen.split_off}".strip()
        case Phase.REVERTING | Phase.DONE:
            return ""
        case _:
            assert_never(seen.phase)


def _bake_left(seen: Seen, now: datetime) -> str:
    step = seen.current
    since = seen.applied_at or seen.step_began_at
    end = since + timedelta(seconds=step.duration_s + seen.paused_s)
    if now < end:
        return f"Watching until {_clock(end)}."
    if seen.step_requests < step.min_requests:
        return f"{seen.step_requests:,} of {step.min_requests:,} requests of the new version have come."
    if seen.guarded and seen.step_requests == 0:
        return "No request has reached the new version yet."
    return seen.split_off


def _verdict_missing(seen: Seen) -> str:
    if seen.split_off or not seen.guarded:
        return seen.split_off or seen.unsettled
    if seen.judged is None:
        return "No request has been counted yet."
    if seen.judged.verdict == HEALTHY:
        return seen.unsettled
    return seen.judged.waiting or seen.judged.sentence


def _finished_step(seen: Seen, now: datetime) -> Decision:
    if seen.phase is Phase.PROMOTING:
        return Finish(ReleaseStatus.SUCCEEDED, _success_sentence(seen))
    return _enter(seen, seen.step + 1, now)


def _success_sentence(seen: Seen) -> str:
    if not seen.has_stable:
        return "Promoted. It is the first release of this endpoint: there is no version to roll back to."
    return "Promoted."


def _overdue(seen: Seen, reason: str) -> Decision:
    """The deadline passed: what is not known to be good goes back."""
    if seen.phase is Phase.STARTING:
        return Finish(ReleaseStatus.FAILED, f"The replicas were not ready in time. {reason}")
    if seen.phase in (Phase.BAKING, Phase.JUDGING):
        return Revert(ReleaseStatus.ROLLED_BACK, f"Inconclusive at the deadline: {reason}")
    return Revert(ReleaseStatus.ROLLED_BACK, f"The deadline passed: {reason}")


def _enter(seen: Seen, index: int, now: datetime) -> Enter:
    step = seen.steps[index]
    deadline = now + timedelta(seconds=_seconds_for(step, seen))
    match step.kind:
        case StepKind.START:
            return Enter(index, Phase.STARTING, "Replicas start.", deadline)
        case StepKind.WEIGHT:
            sentence = f"{step.weight_pct} % of the traffic goes to the new version."
            return Enter(index, Phase.SHIFTING, sentence, deadline, weight_pct=step.weight_pct)
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
            return Enter(index, Phase.PROMOTING, "All traffic goes to the new version.", deadline, weight_pct=100)
        case _:
            assert_never(step.kind)


def _seconds_for(step: Step, seen: Seen) -> float:
    """Return how long a step may take before the rollout goes back."""
    match step.kind:
        case StepKind.BAKE:
            return step.duration_s + seen.judge_deadline_s
        case StepKind.JUDGE:
            return seen.judge_deadline_s
        case StepKind.HOLD:
            return limits.HOLD_DEADLINE_S
        case StepKind.START | StepKind.WEIGHT | StepKind.MIRROR | StepKind.PROMOTE:
            return limits.SHIFT_DEADLINE_S
        case _:
            assert_never(step.kind)


def _next_look(seen: Seen, now: datetime) -> datetime:
    idle = seen.phase is Phase.HOLDING
    return now + timedelta(seconds=limits.LOOK_IDLE_S if idle else limits.LOOK_S)


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S} UTC"
