"""The judge's rules: what counts as harm, what keeps a release from being healthy, and what its sentences say."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.analysis.guardrail_result import Ground, SafetyLimits
from monitoring.analysis.judge import (
    ArmCounts,
    Assessment,
    Block,
    Guardrail,
    JudgeState,
    Tally,
    assess,
    fold,
    initial_state,
)
from monitoring.analysis.sequential import bet, block_log_e
from monitoring.analysis.verdicts import Verdict

ERRORS = Guardrail("error_rate", 0.01)
SLOW = Guardrail("latency_over_slo", 0.05, 100)
NONE = ArmCounts()


def judged(*blocks: Block, guardrails: list[Guardrail] | None = None, **how: object) -> Assessment:
    state = initial_state([ERRORS] if guardrails is None else guardrails)
    for block in blocks:
        state = fold(state, block)
    return assess(state, **how)  # type: ignore[arg-type]


def arm(requests: int, errors: int = 0, client_errors: int = 0) -> ArmCounts:
    return ArmCounts(requests, errors, client_errors)


sizes = st.integers(0, 30)


@st.composite
def arms(draw: st.DrawFn) -> ArmCounts:
    requests = draw(sizes)
    errors = draw(st.integers(0, requests))
    return ArmCounts(requests, errors, draw(st.integers(0, requests - errors)))


blocks_of_any_size = st.lists(st.builds(Block, arms(), arms()), max_size=25)


@given(blocks_of_any_size)
def test_fold__any_blocks__log_e_is_the_sum_of_bets_made_before_each_block(blocks: list[Block]) -> None:
    tally, expected = Tally(), 0.0
    for block in (block for block in blocks if block.baseline.requests):
        shares = bet((tally.candidate_n, tally.candidate_k), (tally.baseline_n, tally.baseline_k), 0.01)
        candidate, baseline = (
            (block.candidate.requests, block.candidate.errors),
            (block.baseline.requests, block.baseline.errors),
        )
        expected += block_log_e(candidate, baseline, *shares) if shares else 0.0
        tally = tally.folded(candidate, baseline, 0.01)

    assert tally.log_e == pytest.approx(expected, abs=1e-9)
    assert tally.log_e_max >= max(0.0, tally.log_e)


@given(blocks_of_any_size, st.integers(0, 25))
def test_fold__state_stored_in_between__ends_the_same(blocks: list[Block], cut: int) -> None:
    through = stored = initial_state([ERRORS])
    for index, block in enumerate(blocks):
        if index == cut:
            stored = JudgeState.from_dict(json.loads(json.dumps(stored.to_dict())))
        through, stored = fold(through, block), fold(stored, block)

    assert stored == through


@settings(max_examples=60)
@given(blocks_of_any_size, st.floats(0.001, 0.5))
def test_assess__any_blocks__the_interval_says_what_the_verdict_says(blocks: list[Block], margin: float) -> None:
    for result in judged(*blocks, guardrails=[Guardrail("error_rate", margin)], bake_done=True).guardrails:
        low, high = result.interval_low, result.interval_high
        if result.ground in (Ground.EVIDENCE, Ground.INTERVAL):
            assert low >= 0
            assert high > margin
            assert (result.difference or 0) > margin
        elif result.verdict is Verdict.HEALTHY and result.metric == "error_rate":
            assert high < margin
        elif result.verdict is Verdict.INCONCLUSIVE:
            assert low <= margin <= high
        assert (result.verdict is Verdict.HARMFUL) == (result.ground is not Ground.NONE)


@settings(max_examples=40)
@given(blocks_of_any_size)
def test_assess__any_blocks__numbers_are_in_order_and_healthy_needs_both_arms(blocks: list[Block]) -> None:
    result = judged(*blocks, bake_done=True)
    first = result.guardrails[0]

    assert -1 <= first.interval_low <= first.interval_high <= 1
    assert first.difference is None or first.interval_low <= first.difference <= first.interval_high
    if result.verdict is Verdict.HEALTHY:
        assert min(first.candidate_n, first.baseline_n) > 0
        assert first.interval_high < ERRORS.margin
    json.dumps(result.to_dict(), allow_nan=False)


def test_fold__same_state_twice__changes_nothing_in_it() -> None:
    state = initial_state([ERRORS])
    before = state.to_dict()

    fold(state, Block(arm(5, 5), arm(5)))

    assert state.to_dict() == before


def test_fold__candidate_and_baseline_in_alternating_blocks__evidence_is_not_lost() -> None:
    apart, together = Tally(), Tally()
    for _ in range(40):
        apart = apart.folded((1, 1), (0, 0), 0.01).folded((0, 0), (3, 0), 0.01)
        together = together.folded((1, 1), (3, 0), 0.01)

    assert apart.log_e == pytest.approx(together.log_e)
    assert apart.log_e > 3


def test_fold__candidate_alone_for_long__is_not_compared_with_a_late_baseline() -> None:
    tally = Tally().folded((0, 0), (500, 0), 0.01).folded((5, 0), (50, 0), 0.01)
    before = tally.log_e
    for _ in range(30):
        tally = tally.folded((1, 1), (0, 0), 0.01)

    assert tally.open_n <= 20
    assert replace(tally, open_n=0, open_k=0).folded((0, 0), (50, 0), 0.01).log_e == before


def test_fold__slo_was_not_counted__is_refused_because_unknown_is_not_zero() -> None:
    with pytest.raises(ValueError, match="100 ms"):
        judged(Block(ArmCounts(10), ArmCounts(10)), guardrails=[SLOW])


def test_assess__high_client_errors_alike_in_both_arms__do_not_keep_it_from_healthy() -> None:
    blocks = [Block(arm(100, client_errors=30), arm(900, client_errors=270)) for _ in range(12)]
    result = judged(*blocks, bake_done=True)

    assert result.verdict is Verdict.HEALTHY
    assert result.guardrails[1].sentence.endswith("no proof that the version causes them, so they do not count.")


def test_assess__late_harm_with_all_traffic_on_the_candidate__is_found() -> None:
    good = [Block(arm(10), arm(90)) for _ in range(40)]
    alone_and_bad = [Block(arm(100, errors=15), NONE) for _ in range(6)]

    assert judged(*good, bake_done=True).verdict is not Verdict.HARMFUL
    assert judged(*good, *alone_and_bad, bake_done=True).verdict is Verdict.HARMFUL


def test_assess__late_harm_after_a_long_good_time__is_found_soon() -> None:
    good = [Block(arm(10), arm(90)) for _ in range(200)]
    bad = [Block(arm(10, errors=3), arm(90)) for _ in range(12)]

    assert judged(*good, *bad).verdict is Verdict.HARMFUL


@pytest.mark.parametrize(("count", "threshold"), [(1, 25), (2, 50)])
def test_assess__more_guardrails__need_more_evidence_each(count: int, threshold: float) -> None:
    result = judged(guardrails=[ERRORS, SLOW][:count])

    assert result.guardrails[0].threshold == pytest.approx(threshold)
    assert result.guardrails[-1].metric == "client_error_rate"
    assert result.guardrails[-1].threshold == pytest.approx(200)
    assert sum(1 / g.threshold for g in result.guardrails) + 0.1 * 0.05 == pytest.approx(0.05)


def test_assess__zero_errors_in_both__needs_756_candidate_requests_at_ten_percent() -> None:
    assert judged(Block(arm(745), arm(9 * 745)), bake_done=True).verdict is Verdict.INCONCLUSIVE
    assert judged(Block(arm(756), arm(9 * 756)), bake_done=True).verdict is Verdict.HEALTHY


def test_assess__all_errors_in_both_arms__is_a_safety_stop_that_says_so() -> None:
    result = judged(Block(arm(100, errors=100), arm(100, errors=100)))

    assert result.verdict is Verdict.HARMFUL
    assert result.guardrails[0].ground is Ground.LIMIT
    assert result.sentence == (
        "Error share 100.0 % of 100 requests (the stable arm has 100.0 %): so many that nothing needs to be compared. "
        "The safety limit is 50 % of at least 20."
    )


def test_assess__one_in_three_failing__safety_follows_its_limits() -> None:
    block = Block(arm(30, errors=10), NONE)

    assert judged(block).verdict is Verdict.NO_DATA
    assert judged(block, safety=SafetyLimits(0.3, 30)).verdict is Verdict.HARMFUL
    assert judged(block, safety=SafetyLimits(0.3, 31)).verdict is Verdict.NO_DATA


def test_assess__harmful__sentence_has_the_numbers() -> None:
    blocks = [Block(arm(12, errors=1), arm(108)) for _ in range(10)]
    result = judged(*blocks)

    assert result.sentence.startswith(
        "Error share 8.3 % of 120 requests against 0.0 % of 1,080: 8.3 points more, interval +"
    )
    assert result.sentence.endswith(
        "worse by evidence of over 1,000,000 to 1 (25 to 1 proves it), "
        "and the difference is beyond the margin of 1 point."
    )


def test_assess__few_requests_prove_harm__the_interval_that_is_shown_holds_no_equality() -> None:
    """Ten requests with five errors: the interval of the counts alone goes down to less than nothing."""
    result = judged(*[Block(arm(2, errors=1), arm(26)) for _ in range(5)]).guardrails[0]

    assert (result.verdict, result.ground) == (Verdict.HARMFUL, Ground.EVIDENCE)
    assert result.interval_low == 0.0
    assert ", interval above 0 to +" in result.sentence


def test_assess__proven_once_and_equal_since__no_harm_and_no_interval_that_says_so() -> None:
    bad = [Block(arm(5, errors=3), arm(45)) for _ in range(6)]
    better = [Block(arm(50), arm(450, errors=60)) for _ in range(40)]
    result = judged(*bad, *better).guardrails[0]

    assert result.e_value > result.threshold
    assert (result.is_worse, result.verdict) == (False, Verdict.HEALTHY)
    assert result.interval_low < 0


def test_assess__harmful_and_bake_not_done__does_not_wait() -> None:
    blocks = [Block(arm(10, errors=2), arm(90)) for _ in range(20)]

    assert judged(*blocks, bake_done=False, min_requests=10_000).verdict is Verdict.HARMFUL


@pytest.mark.parametrize(("bake_done", "verdict"), [(True, Verdict.HEALTHY), (False, Verdict.INCONCLUSIVE)])
def test_assess__no_guardrail__says_so(bake_done: bool, verdict: Verdict) -> None:
    result = judged(guardrails=[], bake_done=bake_done)

    assert result.verdict is verdict
    assert result.sentence.startswith("The plan has no guardrail")


@pytest.mark.parametrize(
    ("metric", "margin", "slo_ms"),
    [
        ("error_rate", 0, None),
        ("error_rate", float("nan"), None),
        ("error_rate", 0.01, 100),
        ("latency_over_slo", 0.01, None),
        ("latency_over_slo", 0.01, float("nan")),
        ("latency_over_slo", 0.01, -5),
    ],
)
def test_guardrail__senseless__is_refused(metric: str, margin: float, slo_ms: float | None) -> None:
    with pytest.raises(ValueError):
        Guardrail(metric, margin, slo_ms)  # type: ignore[arg-type]


def test_initial_state__two_guardrails_on_the_same__is_refused() -> None:
    with pytest.raises(ValueError, match="same"):
        initial_state([ERRORS, Guardrail("error_rate", 0.02)])


def test_arm_counts__errors_and_client_errors_above_the_requests__are_refused() -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        ArmCounts(10, errors=6, client_errors=5)
