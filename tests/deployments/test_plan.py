"""The pure plan: facts in, one decision out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from deployments.lifecycle import Phase, ReleaseStatus
from deployments.rollout.plan import Enter, Finish, Revert, Wait, plan
from deployments.rollout.snapshot import Judged, ReplicasSnapshot, Snapshot
from deployments.rollout.steps import Step, StepKind, step_from_dict
from deployments.rollout.strategies import compile_strategy

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
STEPS = tuple(
    compile_strategy(
        {"kind": "canary", "steps": [{"weight": 10, "bake_s": 20, "min_requests": 200}, {"weight": 50, "bake_s": 20}]}
    )
)
READY = ReplicasSnapshot(wanted=1, ready=1)


def seen(phase: Phase, step: int = 1, **facts) -> Snapshot:
    values = {"candidate": READY, "weight_pct": 10, "guarded": True, "step_began_at": NOON, **facts}
    return Snapshot(phase=phase, step=step, steps=STEPS, **values)


def test_canary__compiled__start_weights_bakes_judge_promote():
    kinds = [step.kind.value for step in STEPS]

    assert kinds == ["start", "weight", "bake", "weight", "bake", "judge", "promote"]
    assert [step_from_dict(step.to_dict()) for step in STEPS] == list(STEPS)


def test_starting__replicas_ready__first_weight():
    decision = plan(seen(Phase.STARTING, 0), NOON)

    assert isinstance(decision, Enter)
    assert (decision.phase, decision.weight_pct) == (Phase.SHIFTING, 10)


def test_shifting__not_acknowledged__waits_with_the_reason():
    decision = plan(seen(Phase.SHIFTING, unacknowledged="Gateway g1 has routes 3, not yet 4."), NOON)

    assert decision == Wait("Gateway g1 has routes 3, not yet 4.", NOON + timedelta(seconds=1))


@pytest.mark.parametrize(
    ("after_s", "requests", "reason"),
    [(19, 900, "Watching until 12:00:20 UTC."), (21, 41, "41 of 200 requests of the new version have come.")],
)
def test_baking__not_over__says_what_is_missing(after_s, requests, reason):
    facts = seen(Phase.BAKING, 2, applied_at=NOON, step_requests=requests)
    decision = plan(facts, NOON + timedelta(seconds=after_s))

    assert isinstance(decision, Wait)
    assert decision.reason == reason


def test_baking__over__next_weight_without_a_healthy_verdict():
    judged = Judged("inconclusive", "too few")
    facts = seen(Phase.BAKING, 2, applied_at=NOON, step_requests=200, judged=judged)
    decision = plan(facts, NOON + timedelta(seconds=20))

    assert isinstance(decision, Enter)
    assert decision.weight_pct == 50


@pytest.mark.parametrize("phase", [Phase.SHIFTING, Phase.BAKING, Phase.JUDGING, Phase.HOLDING, Phase.PROMOTING])
def test_harmful__in_every_phase_with_traffic__reverts_also_when_paused(phase):
    facts = seen(phase, 2, judged=Judged("harmful", "errors"), paused_at=NOON, unacknowledged="x")

    assert plan(facts, NOON) == Revert(ReleaseStatus.ROLLED_BACK, "Harmful: errors")


@pytest.mark.parametrize("verdict", ["inconclusive", "no_data"])
def test_judging__not_healthy__waits_then_goes_back(verdict):
    deadline = NOON + timedelta(seconds=60)
    facts = seen(Phase.JUDGING, 5, judged=Judged(verdict, "41 of 200", "needs more"), deadline_at=deadline)

    assert isinstance(plan(facts, NOON), Wait)
    assert plan(facts, deadline) == Revert(ReleaseStatus.ROLLED_BACK, "Inconclusive at the deadline: needs more")


def test_judging__nothing_judged__is_never_a_pass():
    assert isinstance(plan(seen(Phase.JUDGING, 5), NOON), Wait)


def test_judging__healthy__promotes():
    decision = plan(seen(Phase.JUDGING, 5, judged=Judged("healthy", "fine")), NOON)

    assert isinstance(decision, Enter)
    assert (decision.phase, decision.weight_pct) == (Phase.PROMOTING, 100)


def test_promoting__not_acknowledged__nothing_ends():
    assert isinstance(plan(seen(Phase.PROMOTING, 6, unacknowledged="x"), NOON), Wait)


def test_reverting__no_gateway_lives__ends_all_the_same():
    facts = seen(
        Phase.REVERTING, unacknowledged="No gateway is connected.", gateways_live=0, outcome=ReleaseStatus.ABORTED
    )

    assert plan(facts, NOON) == Finish(ReleaseStatus.ABORTED, "")


def test_abort__before_traffic__finishes_without_touching_routes():
    decision = plan(seen(Phase.STARTING, 0, wish="abort", wish_by="emma", weight_pct=0), NOON)

    assert decision == Finish(ReleaseStatus.ABORTED, "Aborted by emma.")


def test_two_causes__harmful_and_aborted__the_person_s_order_names_the_outcome():
    facts = seen(Phase.BAKING, 2, wish="abort", wish_by="emma", judged=Judged("harmful", "errors"))

    assert plan(facts, NOON) == Revert(ReleaseStatus.ABORTED, "Aborted by emma.")


def test_candidate__failed_before_traffic__failed_not_rolled_back():
    facts = seen(Phase.STARTING, 0, weight_pct=0, candidate=ReplicasSnapshot(1, 0, failed="No such module."))

    assert plan(facts, NOON) == Finish(ReleaseStatus.FAILED, "No such module.")


def test_starting__deadline__fails():
    facts = seen(
        Phase.STARTING, 0, weight_pct=0, candidate=ReplicasSnapshot(1, 0, waiting="building"), deadline_at=NOON
    )

    assert plan(facts, NOON) == Finish(ReleaseStatus.FAILED, "The replicas were not ready in time. building")


def test_paused__step_over__stays():
    facts = seen(Phase.BAKING, 2, applied_at=NOON - timedelta(hours=1), step_requests=900, paused_at=NOON)

    assert isinstance(plan(facts, NOON), Wait)
    assert isinstance(plan(replace(facts, paused_at=None), NOON), Enter)


def test_mirror__step__keeps_the_weights():
    facts = replace(seen(Phase.STARTING, 0), steps=(Step(StepKind.START), Step(StepKind.MIRROR, weight_pct=30)))
    decision = plan(facts, NOON)

    assert isinstance(decision, Enter)
    assert (decision.weight_pct, decision.mirror_pct) == (0, 30)


@pytest.mark.parametrize(("phase", "step"), [(Phase.BAKING, 2), (Phase.JUDGING, 5)])
@pytest.mark.parametrize("guarded", [True, False])
def test_split_off__step_over__holds_then_goes_back_whatever_the_verdict(phase, step, guarded):
    deadline = NOON + timedelta(seconds=60)
    facts = seen(phase, step, applied_at=NOON, step_requests=900, guarded=guarded, deadline_at=deadline)
    facts = replace(facts, judged=Judged("healthy", "fine"), split_off="30 % instead of 10 %.")

    assert plan(facts, NOON + timedelta(seconds=30)).reason == "30 % instead of 10 %."
    assert plan(facts, deadline) == Revert(
        ReleaseStatus.ROLLED_BACK, "Inconclusive at the deadline: 30 % instead of 10 %."
    )


def test_reverting__gateway_does_not_obey__waits_until_the_deadline_then_ends_with_a_warning():
    says = "Gateway g1 refuses routes 5: torn"
    facts = seen(Phase.REVERTING, version=2, unacknowledged=says, outcome=ReleaseStatus.ABORTED, outcome_reason="why")
    facts = replace(facts, deadline_at=NOON + timedelta(seconds=1))

    assert plan(facts, NOON) == Wait(says, NOON + timedelta(seconds=1))
    decision = plan(facts, NOON + timedelta(seconds=1))
    assert isinstance(decision, Finish)
    assert (decision.status, decision.reason) == (ReleaseStatus.ABORTED, "why")
    assert decision.warning.startswith(f"{says} It may still send requests to version 2")


CLOSED = "Held: freeze Stocktaking until 2026-11-23 13:00 UTC."
HELD = Wait(CLOSED, NOON + timedelta(seconds=1), is_held=True)
OVER = {"applied_at": NOON - timedelta(hours=1), "step_requests": 900, "judged": Judged("healthy", "fine")}


@pytest.mark.parametrize(("phase", "step"), [(Phase.STARTING, 0), (Phase.BAKING, 2), (Phase.JUDGING, 5)])
def test_closed__step_over__no_traffic_moves_until_it_is_open(phase, step):
    facts = seen(phase, step, closed=CLOSED, **OVER)

    assert plan(facts, NOON) == HELD
    opened = plan(replace(facts, closed="", held_at=NOON), NOON)
    assert isinstance(opened, Enter)
    assert opened.weight_pct is not None


def test_closed__weights_acknowledged__the_step_that_watches_is_entered_so_that_harm_is_seen():
    decision = plan(seen(Phase.SHIFTING, closed=CLOSED), NOON)

    assert isinstance(decision, Enter)
    assert (decision.phase, decision.weight_pct) == (Phase.BAKING, None)


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.BAKING, Phase.HOLDING])
def test_closed__promotion_asked_for__waits(phase):
    facts = seen(phase, {Phase.STARTING: 0}.get(phase, 2), wish="promote", wish_by="mona", closed=CLOSED, **OVER)

    assert isinstance(plan(facts, NOON), Wait)
    assert plan(replace(facts, closed=""), NOON).phase is Phase.PROMOTING


@pytest.mark.parametrize(
    "danger",
    [
        {"judged": Judged("harmful", "errors")},
        {"wish": "abort", "wish_by": "emma"},
        {"wish": "rollback", "wish_by": "emma"},
        {"ejected": "Gateway g1 turned away."},
        {"disagrees": "Half of the answers differ."},
        {"changed_outside": "It was deleted."},
        {"candidate": ReplicasSnapshot(1, 0, failed="gone")},
    ],
)
def test_closed__danger_or_a_person_s_order__goes_back_at_once(danger):
    assert isinstance(plan(seen(Phase.BAKING, 2, closed=CLOSED, **danger), NOON), Revert)


def test_closed__while_all_traffic_is_published__ends_as_it_would():
    assert isinstance(plan(seen(Phase.PROMOTING, 6, closed=CLOSED), NOON), Finish)


def test_closed__deadline__stands_still_and_goes_on_where_it_stood():
    deadline, noticed = NOON + timedelta(minutes=5), NOON + timedelta(minutes=3)
    facts = seen(Phase.JUDGING, 5, judged=Judged("inconclusive", "too few"), deadline_at=deadline)
    night = NOON + timedelta(hours=9)
    held = replace(facts, closed=CLOSED, held_at=noticed)

    assert plan(held, night) == Wait("too few", night + timedelta(seconds=1), is_held=True)
    opened = replace(facts, held_at=noticed)
    assert isinstance(plan(opened, night), Wait)
    settled = replace(facts, deadline_at=deadline + (night - noticed))
    assert isinstance(plan(settled, night + timedelta(minutes=1, seconds=59)), Wait)
    assert isinstance(plan(settled, night + timedelta(minutes=2)), Revert)


def test_closed__paused_too__the_pause_decides_how_long():
    paused = seen(Phase.BAKING, 2, paused_at=NOON, closed=CLOSED)

    assert plan(paused, NOON).reason.startswith("Paused")
    assert isinstance(plan(paused, NOON + timedelta(days=8)), Revert)
