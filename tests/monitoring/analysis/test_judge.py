"""The judge's rules: what counts as harm, what keeps a release from being healthy, and what its sentences say."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.analysis.guardrail_result import Ground, SafetyLimits
from monitoring.analysis.judge import (
    WHOLE_PART,
    ArmCounts,
    Assessment,
    Block,
    Guardrail,
    JudgeState,
    assess,
    fold,
    initial_state,
)
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
    apart = [Block(arm(1, int(index % 3 == 0)), NONE) if index % 2 else Block(NONE, arm(3)) for index in range(120)]

    assert judged(*apart).guardrails[0].e_value > 25


def test_fold__candidate_alone_for_long__is_not_compared_with_a_late_baseline() -> None:
    together, alone = [Block(arm(5), arm(50))] * 32, [Block(arm(3, 1), NONE)] * 64

    assert judged(*together, *alone, *[Block(NONE, arm(50))] * 16).guardrails[0].e_value < 2


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
    alone_and_bad = [Block(arm(100, errors=15), NONE) for _ in range(40)]

    assert judged(*good, bake_done=True).verdict is not Verdict.HARMFUL
    assert judged(*good, *alone_and_bad, bake_done=True).verdict is Verdict.HARMFUL


@pytest.mark.parametrize(("errors", "seconds"), [(3, 100), (10, 10)])
def test_assess__late_harm_after_a_long_good_time__is_found(errors: int, seconds: int) -> None:
    good = [Block(arm(10), arm(90)) for _ in range(200)]
    bad = [Block(arm(10, errors=errors), arm(90)) for _ in range(seconds)]

    assert judged(*good, *bad[:3]).verdict is not Verdict.HARMFUL, "a stall of three seconds looks like this"
    assert judged(*good, *bad).verdict is Verdict.HARMFUL


@pytest.mark.parametrize(("count", "threshold"), [(1, 31.25), (2, 62.5)])
def test_assess__more_guardrails__need_more_evidence_each(count: int, threshold: float) -> None:
    result = judged(guardrails=[ERRORS, SLOW][:count])

    assert result.guardrails[0].threshold == pytest.approx(threshold)
    assert result.guardrails[-1].metric == "client_error_rate"
    assert result.guardrails[-1].threshold == pytest.approx(250)
    assert sum(1 / g.threshold for g in result.guardrails) == pytest.approx(0.9 * WHOLE_PART * 0.05)


def test_assess__zero_errors_in_both__needs_756_candidate_requests_at_ten_percent() -> None:
    assert judged(Block(arm(745), arm(9 * 745)), bake_done=True).verdict is Verdict.INCONCLUSIVE
    assert judged(Block(arm(756), arm(9 * 756)), bake_done=True).verdict is Verdict.HEALTHY


def test_assess__all_errors_in_both_arms__is_a_safety_stop_that_says_so() -> None:
    result = judged(*[Block(arm(100, errors=100), arm(100, errors=100)) for _ in range(3)])

    assert result.verdict is Verdict.HARMFUL
    assert result.guardrails[0].ground is Ground.LIMIT
    assert result.sentence == (
        "300 of 300 requests failed; stable 300 of 300: so many that nothing needs to be compared. "
        "The safety limit is 90 % of at least 20 in 3 s."
    )


def test_assess__one_in_three_failing__safety_follows_its_limits() -> None:
    blocks = [Block(arm(10, errors=4 - second % 2), NONE) for second in range(8)]

    assert judged(*blocks).verdict is Verdict.NO_DATA
    assert judged(*blocks, safety=SafetyLimits(0.35, 80)).verdict is Verdict.HARMFUL
    assert judged(*blocks, safety=SafetyLimits(0.35, 81)).verdict is Verdict.NO_DATA
    assert judged(*blocks[:7], safety=SafetyLimits(0.35, 20)).verdict is Verdict.NO_DATA


def test_assess__burst_of_errors_at_the_beginning__is_no_safety_stop() -> None:
    """Of 3 s, begun just before or just after the candidate's first second."""
    before = [Block(arm(10, errors=10 * (second < 2)), arm(30)) for second in range(30)]
    after = [Block(arm(10, errors=10 * (0 < second < 4)), arm(30)) for second in range(30)]

    for blocks in (before, after):
        assert all(judged(*blocks[:second]).verdict is not Verdict.HARMFUL for second in range(1, 31))


def test_assess__harmful__sentence_has_the_numbers() -> None:
    blocks = [Block(arm(12, errors=1), arm(108)) for _ in range(10)]
    result = judged(*blocks)

    assert result.sentence.startswith(
        "10 of 120 requests failed (8.3 %); stable 0 of 1,080: 8.3 points more, interval "
    )
    assert " to 1 (31 to 1 proves it), and the difference is beyond the margin of 1 point." in result.sentence


def test_assess__few_requests_prove_harm__the_interval_that_is_shown_holds_no_equality() -> None:
    """Sixteen requests with six errors: the interval of the counts alone goes down to less than nothing."""
    result = judged(*[Block(arm(2, errors=index % 3 % 2), arm(26)) for index in range(9)]).guardrails[0]

    assert (result.verdict, result.ground) == (Verdict.HARMFUL, Ground.EVIDENCE)
    assert result.interval_low == 0.0
    assert ", interval above 0 to +" in result.sentence


def test_assess__proven_once_and_better_since__no_harm_and_no_interval_that_says_so() -> None:
    bad = [Block(arm(5, errors=index % 2), arm(45)) for index in range(12)]
    better = [Block(arm(50), arm(450, errors=60)) for _ in range(40)]

    assert judged(*bad).verdict is Verdict.HARMFUL
    result = judged(*bad, *better).guardrails[0]
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
