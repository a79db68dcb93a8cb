"""Evidence about a quantile: the figures of its paper, scipy as oracle, mirror symmetry, and no false alarms."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import special, stats

from monitoring.analysis.judge import ArmCounts, Block
from monitoring.analysis.latency_tally import PACE_REQUESTS, LatencyTally
from monitoring.analysis.quantile_evidence import Latencies, QuantileEvidence, _Mixture
from monitoring.analysis.quantile_guardrail import QuantileLimit, assess_quantile
from monitoring.analysis.verdicts import Verdict

ONE = Latencies.of({1.0: 1})
NONE = Latencies.of({})
LIMIT = QuantileLimit("latency_p95", "P95 of the latency", margin_ms=10)


def shifted(by: float) -> Latencies:
    return Latencies.of({value + by: 1 for value in range(1, 1001)})


@pytest.mark.parametrize(
    ("quantile", "shift", "two_sided_p"),
    [(0.5, 70, 0.814704), (0.5, 85, 0.0838055), (0.5, 100, 0.0054947), (0.9, 55, 0.0340463)],
)
def test_paper__its_shifts__a_quarter_of_its_two_sided_p(quantile, shift, two_sided_p):
    """Knowing the direction doubles the evidence of either arm; the rest are ties, which ours takes for the worst."""
    evidence = QuantileEvidence(shifted(shift), shifted(0), quantile, tuned=100)
    assert 4 * math.exp(-evidence.log_e_larger()) == pytest.approx(two_sided_p, rel=0.05)


@settings(max_examples=60, deadline=None)
@given(
    share=st.sampled_from([0.01, 0.05, 0.5, 0.9, 0.99]),
    trials=st.floats(0.5, 5000),
    part=st.floats(0, 1),
    tuned=st.sampled_from([100, 500]),
)
@example(share=0.99, trials=5000.0, part=0.0, tuned=500)
@example(share=0.01, trials=5000.0, part=1.0, tuned=500)
def test_mixture__any_counts__is_the_incomplete_beta_of_scipy(share, trials, part, tuned):
    mixture, events = _Mixture(share, tuned), trials * part
    a, b = mixture._a, mixture._b
    inside = special.betainc(a + events, b + trials - events, share)
    if inside < 1e-200:
        return
    expected = math.log(inside) + special.betaln(a + events, b + trials - events)
    expected -= math.log(special.betainc(a, b, share)) + special.betaln(a, b)
    expected -= events * math.log(share) + (trials - events) * math.log1p(-share)
    assert mixture.log_e(trials, events) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("trials", [1, 7, 40])
@pytest.mark.parametrize("true_share", [0.9, 0.95])
def test_mixture__any_share_of_the_null__has_an_expectation_of_1_at_most(trials, true_share):
    mixture = _Mixture(0.9, 500)
    chances = stats.binom(trials, true_share).pmf(range(trials + 1))
    assert sum(math.exp(mixture.log_e(trials, k)) * chances[k] for k in range(trials + 1)) <= 1 + 1e-9


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_interval__any_arms__holds_the_observed_difference_and_falls_with_effects(one, other):
    arms = [Latencies.of({float(value): values.count(value) for value in values}) for values in (one, other)]
    low, high = QuantileEvidence(*arms, 0.5).interval_ms(0.05, 0.05)
    observed = (arms[0].quantile(0.5) or 0) - (arms[1].quantile(0.5) or 0)
    assert low is None or low <= observed
    assert high is None or observed <= high
    wide = [Latencies(arm.values_ms, arm.counts, 4.0) for arm in arms]
    wide_low, wide_high = QuantileEvidence(*wide, 0.5).interval_ms(0.05, 0.05)
    assert wide_low is None or (low is not None and wide_low <= low + 1e-6)
    assert wide_high is None or (high is not None and wide_high >= high - 1e-6)


@pytest.mark.parametrize(("candidate", "baseline"), [(NONE, ONE), (ONE, NONE), (NONE, NONE)])
def test_evidence__an_arm_is_empty__says_nothing(candidate, baseline):
    evidence = QuantileEvidence(candidate, baseline, 0.95)
    assert evidence.log_e_larger() == 0
    assert evidence.interval_ms(0.05, 0.05) == (None, None)


@pytest.mark.parametrize("quantile", [0, 1, math.nan])
def test_evidence__no_quantile__is_refused(quantile):
    with pytest.raises(ValueError, match="between 0 and 1"):
        QuantileEvidence(ONE, ONE, quantile)


def test_tally__no_requests_of_one_arm__is_no_data():
    tally = LatencyTally(0.95)
    assert assess_quantile(tally, LIMIT, 0.05).verdict is Verdict.NO_DATA
    for second in range(100):
        tally = tally.folded(Block(ArmCounts(), ArmCounts(20, latency={100: 20}), second + 1))
    assert assess_quantile(tally, LIMIT, 0.05).verdict is Verdict.NO_DATA


def test_tally__stored_and_read__goes_on_as_if_it_had_not_been():
    tally = LatencyTally(0.95)
    for second in range(60):
        slow = 5 if second % 7 == 0 else 0
        counts = ArmCounts(PACE_REQUESTS, latency={100: PACE_REQUESTS - slow, 200: slow})
        tally = tally.folded(Block(counts, counts, second + 1))
        assert LatencyTally.from_dict(tally.to_dict()) == tally


def test_tally__seconds_that_stall_as_a_whole__are_worth_less_than_their_requests():
    tally, rng = LatencyTally(0.95), np.random.default_rng(3)
    for second in range(120):
        arms = [{300: 20} if rng.random() < 0.1 else {100: 19, 150: 1} for _ in range(2)]
        tally = tally.folded(Block(*(ArmCounts(20, latency=arm) for arm in arms), second + 1))
    result = assess_quantile(tally, LIMIT, 0.05)
    assert result.effective_n < result.candidate_n / 5
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "worth about" in result.sentence


@pytest.mark.slow
def test_identical_arms__a_look_every_thirty_requests__alpha_holds():
    rng, alpha, rollouts, false = np.random.default_rng(11), 0.05, 200, 0
    shares = stats.geom(0.3).pmf(range(1, 9)) / stats.geom(0.3).cdf(8)
    for _ in range(rollouts):
        counts = np.zeros((2, 8), dtype=int)
        for _ in range(20):
            counts += rng.multinomial(30, shares, size=2)
            arms = [Latencies.of(dict(zip(range(8), map(int, arm), strict=True))) for arm in counts]
            if QuantileEvidence(*arms, 0.9).log_e_larger() >= math.log(1 / alpha):
                false += 1
                break
    assert stats.binomtest(false, rollouts, alternative="less").proportion_ci(0.99).high <= 1.2 * alpha
