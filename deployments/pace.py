"""How far away the next step of a rollout is, and its end, if every look goes well."""

from datetime import datetime, timedelta

from deployments.lifecycle import Phase
from deployments.models import Release, Rollout
from deployments.rollout.steps import Step, StepKind, steps_from_plan
from monitoring.analysis.planning import duration

STEADY = (Phase.SHIFTING, Phase.BAKING, Phase.JUDGING)


def pace_of(release: Release, rollout: Rollout | None, now: datetime) -> str:
    """The sentence for the ladder: what comes next and when, and when the version is promoted at the earliest; empty
    when nothing moves by itself.
    """
    if rollout is None or rollout.paused_at or rollout.held_at or rollout.phase not in STEADY:
        return ""
    steps = steps_from_plan(release.plan)
    ahead = steps[rollout.step + 1 :]
    if not ahead:
        return ""
    left_s = _left_s(steps[rollout.step], rollout, now)
    coming = next((step for step in ahead if step.kind is not StepKind.BAKE), ahead[0])
    before_s = left_s + sum(step.duration_s for step in ahead[: ahead.index(coming)])
    when = f"in {duration(before_s)}" if before_s >= 1 else "as soon as it may"
    if any(step.kind is StepKind.HOLD for step in ahead):
        return f"Next: {coming.title.lower()}, {when}. A person promotes."
    end_s = left_s + sum(step.duration_s for step in ahead)
    return f"Next: {coming.title.lower()}, {when}. Promoted in {duration(end_s)} at the earliest."


def _left_s(step: Step, rollout: Rollout, now: datetime) -> float:
    """The seconds that the step still takes if nothing is missing."""
    if step.kind is not StepKind.BAKE:
        return 0.0
    since = rollout.applied_at or rollout.step_began_at
    end = since + timedelta(seconds=step.duration_s + rollout.paused_s)
    return max(0.0, (end - now).total_seconds())
