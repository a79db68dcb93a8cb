"""Reference numbers, oracles, and degenerate cases of the judge."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from monitoring.analysis import planning, sample_ratio, sequential
from monitoring.analysis.guardrail_result import SafetyLimits
from monitoring.analysis.judge import (
    ArmCounts,
    Block,
    Guardrail,
    JudgeState,
    assess,
    fold,
    initial_state,
)
from monitoring.analysis.verdicts import Verdict, worst_of

ERRORS = Guardrail("error_rate", 0.01)
SLOW = Guardrail("latency_over_slo", 0.05, 100)


def counts(requests: int, errors: int = 0, client_errors: int = 0, slow: int = 0) -> ArmCounts:
    return ArmCounts(requests, errors, client_errors, {"100": slow})


def state_after(*blocks: Block, guardrails: list[Guardrail] | None = None) -> JudgeState:
    state = initial_state(guardrails or [ERRORS])
    for block in blocks:
        state = fold(state, block)
    return state


@pytest.mark.parametrize(
    ("base", "excess", "ratio", "needed"),
    [(0.01, 0.01, 1, 2318.16), (0.05, 0.05, 1, 434.43), (0.01, 0.01, 9, 1132.83)],
)
def test_sample_size__reference_cases__are_reproduced(base: float, excess: float, ratio: float, needed: float) -> None:
    assert planning.candidate_requests_to_detect(base, excess, ratio) == pytest.approx(needed, abs=0.006)


def test_sample_ratio__split__agrees_with_scipy() -> None:
    theirs = stats.chisquare([120, 880], [100, 900]).pvalue

    assert sample_ratio.sample_ratio_p((120, 880), (10, 90)) == pytest.approx(theirs, rel=1e-9)
    assert sample_ratio.is_sample_ratio_off((200, 800), (10, 90))
    assert not sample_ratio.is_sample_ratio_off((105, 895), (10, 90))


def test_share_interval__zero_events__upper_end_solves_the_mixture() -> None:
    interval = sequential.share_interval(500, 0, 0.05)
    mixture = math.lgamma(0.5) + math.lgamma(500.5) - math.lgamma(501) - 2 * math.lgamma(0.5)

    assert interval.low == 0
    assert mixture - 500 * math.log1p(-interval.high) == pytest.approx(math.log(20), abs=1e-6)


@given(st.integers(1, 400), st.data())
def test_share_interval__any_counts__holds_the_observed_share(trials: int, data: st.DataObject) -> None:
    events = data.draw(st.integers(0, trials))
    interval = sequential.share_interval(trials, events, 0.05)

    assert 0 <= interval.low <= events / trials <= interval.high <= 1


def test_worst_of__two_causes_at_once__harmful_wins_and_nothing_is_no_data() -> None:
    assert worst_of([Verdict.HEALTHY, Verdict.NO_DATA, Verdict.HARMFUL]) is Verdict.HARMFUL
    assert worst_of([Verdict.INCONCLUSIVE, Verdict.NO_DATA]) is Verdict.NO_DATA
    assert worst_of([]) is Verdict.NO_DATA


@pytest.mark.parametrize(
    "block", [Block(counts(0), counts(0)), Block(counts(0), counts(90)), Block(counts(10), counts(0))]
)
def test_assess__an_arm_is_empty__no_data_never_a_pass(block: Block) -> None:
    assert assess(state_after(block), bake_done=True).verdict is Verdict.NO_DATA


def test_assess__no_errors_in_either_arm__healthy_only_with_enough_requests() -> None:
    few = state_after(Block(counts(200), counts(200)))
    many = state_after(Block(counts(900), counts(900)))

    assert assess(few, bake_done=True).verdict is Verdict.INCONCLUSIVE
    assert assess(many, bake_done=True).verdict is Verdict.HEALTHY
    assert assess(many, bake_done=False).verdict is Verdict.INCONCLUSIVE
    assert assess(many, bake_done=True, min_requests=901).verdict is Verdict.INCONCLUSIVE


def test_assess__all_errors_in_twenty_and_three_seconds__stops_with_a_sentence() -> None:
    result = assess(state_after(*[Block(counts(requests, errors=requests), counts(0)) for requests in (7, 7, 6)]))

    assert result.verdict is Verdict.HARMFUL
    assert result.sentence == (
        "20 of 20 requests failed: so many that nothing needs to be compared. "
        "The safety limit is 90 % of at least 20 in 3 s."
    )


@pytest.mark.parametrize("requests", [(7, 6, 6), (50, 50)])
def test_assess__nineteen_errors_or_two_seconds__safety_does_not_act_yet(requests: tuple[int, ...]) -> None:
    blocks = [Block(counts(one, errors=one), counts(0)) for one in requests]

    assert assess(state_after(*blocks), safety=SafetyLimits()).verdict is Verdict.NO_DATA


def test_assess__slow_candidate__is_harmful_by_latency() -> None:
    blocks = [Block(counts(3, slow=2), counts(27)) for _ in range(20)]
    result = assess(state_after(*blocks, guardrails=[ERRORS, SLOW]))

    assert result.verdict is Verdict.INCONCLUSIVE, "it may be warming up"
    result = assess(state_after(*blocks * 3, guardrails=[ERRORS, SLOW]))
    assert result.verdict is Verdict.HARMFUL
    assert "120 of 180 requests took longer than 100 ms (66.7 %); stable 0 of 1,620" in result.sentence


def test_assess__bad_stable_good_candidate__is_not_harmful() -> None:
    blocks = [Block(counts(10), counts(90, errors=45)) for _ in range(120)]

    assert assess(state_after(*blocks), bake_done=True).verdict is Verdict.HEALTHY


def test_assess__client_errors_alike_in_both_arms__do_not_count() -> None:
    blocks = [Block(counts(50, client_errors=15), counts(50, client_errors=15)) for _ in range(20)]

    assert assess(state_after(*blocks)).verdict is not Verdict.HARMFUL


def test_assess__client_errors_only_of_the_candidate__are_harmful() -> None:
    blocks = [Block(counts(5, client_errors=4), counts(45)) for _ in range(20)]

    assert assess(state_after(*blocks)).verdict is Verdict.HARMFUL


def test_assess__proven_but_inside_the_margin__is_not_harmful() -> None:
    wide = Guardrail("error_rate", 0.2)
    blocks = [Block(counts(100, errors=10), counts(100)) for _ in range(30)]
    result = assess(state_after(*blocks, guardrails=[wide]), bake_done=True)

    assert result.guardrails[0].e_value > result.guardrails[0].threshold
    assert result.verdict is Verdict.HEALTHY


def test_assess__all_traffic_on_the_candidate__earlier_baseline_decides() -> None:
    before = [Block(counts(0), counts(100)) for _ in range(20)]
    bad, good = ([Block(counts(90, errors=errors), counts(0)) for _ in range(10)] for errors in (9, 0))

    assert assess(state_after(*before, *bad)).verdict is Verdict.HARMFUL
    assert assess(state_after(*before, *good), bake_done=True).verdict is Verdict.HEALTHY


@pytest.mark.parametrize("bad", [(-1, 0), (1, 2), (float("nan"), 0)])
def test_arm_counts__impossible_counts__are_refused(bad: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="counts"):
        ArmCounts(*bad)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 60), st.integers(0, 60)), max_size=20))
def test_state__round_trip_through_json__changes_nothing(rows: list[tuple[int, int, int, int]]) -> None:
    blocks = [Block(counts(max(a, b), min(a, b)), counts(max(c, d), min(c, d))) for a, b, c, d in rows]
    state = state_after(*blocks, guardrails=[ERRORS, SLOW])

    assert JudgeState.from_dict(state.to_dict()) == state


def test_forecast__little_traffic__says_that_the_plan_cannot_conclude() -> None:
    result = planning.forecast([(10, 300)], [ERRORS], request_rate_per_s=2, base=0.01, deadline_s=900)

    assert result.steps[0].sentence == "10 % for 5 min sees about 60 requests; detecting +1 pp needs 1,133."
    assert not result.can_conclude
