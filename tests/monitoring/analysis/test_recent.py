"""Harm that begins late: what was counted lately proves it, and says so."""

import pytest

from monitoring.analysis.guardrail_result import Ground
from monitoring.analysis.judge import RECENT_PART, ArmCounts, Block, Guardrail, JudgeState, assess, fold, initial_state
from monitoring.analysis.recent import KNOWN_KEPT, SPANS_S
from monitoring.analysis.verdicts import Verdict

ERRORS, SLOW = Guardrail("error_rate", 0.01), Guardrail("latency_over_slo", 0.05, 100)
BEGAN = 64_000  # a multiple of both spans
GOOD_S = 200


def arm(requests: int, errors: int = 0, slow: int = 0) -> ArmCounts:
    return ArmCounts(requests, errors, 0, {"100": slow})


def state_after(blocks: list[Block], guardrail: Guardrail = ERRORS) -> JudgeState:
    state = initial_state([guardrail])
    for block in blocks:
        state = fold(state, block)
    return state


def failing(second: int, errors: int = 3, *, since: int = GOOD_S) -> Block:
    return Block(arm(10, errors if second >= since else 0), arm(30), start=BEGAN + second)


def test_errors__that_begin_after_200_good_seconds__are_found_by_what_was_counted_lately() -> None:
    """At the 192nd second both stretches begin."""
    state = state_after([failing(second) for second in range(GOOD_S)])
    found = GOOD_S
    while assess(state).verdict is not Verdict.HARMFUL:
        state, found = fold(state, failing(found)), found + 1
    result = assess(state).guardrails[0]

    assert found - GOOD_S <= 16
    assert (result.ground, result.recent_s) == (Ground.EVIDENCE, found - 192)
    assert result.candidate_n == 10 * result.recent_s
    assert result.sentence.startswith(
        f"In the last {found - 192} s {3 * (found - GOOD_S)} of {result.candidate_n} requ"
    )
    assert result.interval_low >= 0


def test_stall__of_three_seconds_after_200_good_ones__is_no_late_harm() -> None:
    blocks = [failing(second, 10 * (second < GOOD_S + 3)) for second in range(GOOD_S + 64)]
    state = state_after(blocks[:GOOD_S])

    for block in blocks[GOOD_S:]:
        state = fold(state, block)
        assert assess(state).verdict is not Verdict.HARMFUL


def test_stretches__begin_at_the_multiples_of_their_spans__and_need_more_evidence_each_time() -> None:
    blocks = [failing(second, since=150) for second in range(170)]
    recent = state_after(blocks).recent[ERRORS.key]
    result = assess(state_after(blocks)).guardrails[0]

    assert [stretch.beginnings for stretch in recent.stretches] == [169 // span_s for span_s in SPANS_S]
    assert [stretch.seconds for stretch in recent.stretches] == [169 % span_s + 1 for span_s in SPANS_S]
    beginnings = recent.stretches[SPANS_S.index(16)].beginnings
    assert (result.recent_s, result.threshold) == (
        10,
        pytest.approx(beginnings * (beginnings + 1) / (RECENT_PART * 0.8 * 0.05)),
    )


def test_what_was_known_before__is_some_time_old__and_counts() -> None:
    """Stalls that were seen make the next one cheap."""
    stalls = [failing(second, 10 * (second % 50 < 3), since=0) for second in range(220)]
    recent = state_after(stalls).recent[ERRORS.key]
    stretch = recent.stretches[SPANS_S.index(64)]

    assert len(recent.known) == KNOWN_KEPT
    assert recent.effect(stretch).candidate >= stretch.tally.effect_of(recent.known[0]).candidate > 3


def test_warm_up__that_was_measured__is_left_out_of_what_was_counted_lately() -> None:
    cold = [Block(arm(10, slow=5 * (second < 30)), arm(30), start=BEGAN + second) for second in range(46)]
    recent = state_after(cold, SLOW).recent[SLOW.key]

    assert [stretch.tally.candidate_n for stretch in recent.stretches] == [10, 10]
    assert [stretch.beginnings for stretch in recent.stretches] == [45 // span_s for span_s in SPANS_S]


def test_late_window__of_a_stretch_that_is_over__is_counted_in_the_one_that_is_open() -> None:
    state = fold(state_after([failing(second) for second in range(40)]), failing(20))

    assert [stretch.tally.candidate_n for stretch in state.recent[ERRORS.key].stretches] == [90, 410]
