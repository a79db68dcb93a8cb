"""Requests that hang together: what they are worth, and what is not believed of them."""

import json

import numpy as np
import pytest

from monitoring.analysis.guardrail_result import Ground, GuardrailResult
from monitoring.analysis.judge import (
    ArmCounts,
    Block,
    BucketCounts,
    Guardrail,
    JudgeState,
    assess,
    fold,
    initial_state,
)
from monitoring.analysis.verdicts import Verdict
from tests.support.judge_twin import block_of
from tests.support.simulated_traffic import Traffic, drawn

ERRORS, SLOW = Guardrail("error_rate", 0.01), Guardrail("latency_over_slo", 0.05, 100)


def arm(requests: int, errors: int = 0, slow: int = 0, bucket: int | None = None) -> ArmCounts:
    counts = (requests, errors, 0, {"100": slow})
    return ArmCounts(*counts, {} if bucket is None else {bucket: BucketCounts(*counts)})


def state_after(blocks: list[Block], guardrail: Guardrail = ERRORS) -> JudgeState:
    state = initial_state([guardrail])
    for block in blocks:
        state = fold(state, block)
    return state


def judged(blocks: list[Block], guardrail: Guardrail = ERRORS) -> GuardrailResult:
    return assess(state_after(blocks, guardrail), bake_done=True).guardrails[0]


def units(failing: set[int], seconds: int = 128) -> list[Block]:
    """Each second one unit of each arm asks; those of `failing` buckets of the candidate get errors only."""
    return [
        Block(arm(2, 2 * (second % 64 in failing), bucket=second % 64), arm(6, bucket=second * 7 % 64))
        for second in range(seconds)
    ]


def test_units__one_fails_with_all_its_requests__is_one_event_and_no_harm() -> None:
    sticky = [Block(arm(4, 2 * (second % 2), bucket=5 if second % 2 else second % 64), arm(20)) for second in range(30)]
    spread = [Block(arm(4, 2 * (second % 2), bucket=second), arm(20)) for second in range(30)]

    assert judged(sticky).effective_n < 0.5 * judged(spread).effective_n
    assert judged(sticky).e_value < judged(spread).e_value
    assert judged(spread).verdict is Verdict.HARMFUL


def test_units__of_one_bucket_only__never_a_safety_stop() -> None:
    alone = [Block(arm(20, 20, bucket=9), arm(60)) for _ in range(3)]
    many = [Block(arm(20, 20), arm(60)) for _ in range(3)]

    assert judged(alone).ground is not Ground.LIMIT
    assert judged(many).ground is Ground.LIMIT


def test_requests__without_any_event__are_worth_what_they_are() -> None:
    result = judged(units(set()))

    assert result.effective_n == result.candidate_n
    assert "independent ones" not in result.sentence


def test_requests__fewer_than_a_tenth_short__are_not_said_to_be_worth_less() -> None:
    result = judged(units({3, 17, 40}))
    said = f"{result.candidate_n:,} requests worth about {result.effective_n:,.0f} independent ones"

    assert (said in result.sentence) == (result.effective_n < 0.9 * result.candidate_n)


def test_stalls__of_the_candidate__are_said_as_few_independent_requests_and_are_no_harm() -> None:
    blocks = [Block(arm(10, slow=10 * (second in (60, 61, 62, 90))), arm(30)) for second in range(120)]
    result = judged(blocks, SLOW)

    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.effective_n < result.candidate_n / 8
    assert result.sentence.startswith(
        "40 of 1,200 requests took longer than 100 ms (3.3 %); stable 0 of 3,600; 1,200 requests"
    )


def test_stalls__of_both_arms_at_once__cost_no_evidence() -> None:
    one = [Block(arm(10, slow=10 * (second % 40 < 2)), arm(30)) for second in range(160)]
    both = [Block(arm(10, slow=10 * (second % 40 < 2)), arm(30, slow=30 * (second % 40 < 2))) for second in range(160)]

    assert judged(both, SLOW).effective_n > 5 * judged(one, SLOW).effective_n


def test_slow__nearly_always_in_25_requests_and_three_seconds__is_total() -> None:
    slow = [Block(arm(9, slow=9), arm(30)) for _ in range(3)]
    result = judged(slow, SLOW)

    assert (result.verdict, result.ground) == (Verdict.HARMFUL, Ground.LIMIT)
    assert result.sentence == (
        "27 of 27 requests took longer than 100 ms; stable 0 of 90: so many that nothing needs to be compared. "
        "The safety limit is 90 % of at least 25 in 3 s."
    )
    assert judged(slow[:2], SLOW).verdict is not Verdict.HARMFUL
    assert judged([Block(one.candidate, arm(30, slow=30)) for one in slow], SLOW).verdict is not Verdict.HARMFUL


def test_warm_up__slow_at_first_and_then_not__is_left_out_and_said() -> None:
    cold = [Block(arm(10, slow=5), arm(30)) for _ in range(30)]
    warm = [Block(arm(10), arm(30)) for _ in range(40)]
    result = judged(cold + warm, SLOW)

    assert result.verdict is not Verdict.HARMFUL
    assert (result.left_out_s, result.candidate_n, result.candidate_k) == (45, 250, 0)
    assert result.sentence.endswith("Its first 45 s are left out: it was warming up.")


def test_warm_up__slow_and_stays_so__is_no_warm_up_and_harm() -> None:
    result = judged([Block(arm(10, slow=5 - second % 2), arm(30)) for second in range(50)], SLOW)

    assert (result.verdict, result.left_out_s) == (Verdict.HARMFUL, 0)


def test_late_window__of_a_second_that_was_folded__counts_and_breaks_nothing() -> None:
    blocks = [Block(arm(5, 1), arm(45), start=1000 + second) for second in range(30)]
    late = state_after([*blocks, Block(arm(5, 1), arm(45), start=1003)])

    assert late.tallies[ERRORS.key].candidate_n == 155
    assert late.tallies[ERRORS.key].time.second == 1029


@pytest.mark.parametrize("rate", [40.0, 1000.0])
def test_state__three_guardrails_with_every_bucket__is_small_and_comes_back_the_same(rate: float) -> None:
    traffic = Traffic(
        "", 0.05, 0.05, 0.05, rate_per_s=rate, unit_requests=5, correlation=0.3, is_latency=True, seconds=60
    )
    counts = drawn(traffic, 1, np.random.default_rng(4))
    state = initial_state([ERRORS, SLOW])
    for second in range(traffic.seconds):
        state = fold(state, block_of(traffic, counts, second))
    text = json.dumps(state.to_dict())

    assert JudgeState.from_dict(json.loads(text)) == state
    assert len(text) <= 8192


def test_state__of_an_earlier_method__begins_again() -> None:
    stored = {
        "guardrails": [{"metric": "error_rate", "margin": 0.01, "slo_ms": None}],
        "tallies": {"error_rate": {"n": 1}},
    }

    assert JudgeState.from_dict(stored).tallies[ERRORS.key].candidate_n == 0
