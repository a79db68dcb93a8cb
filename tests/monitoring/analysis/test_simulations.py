"""False alarms and speed of the judge, measured on many simulated rollouts."""

import math

import numpy as np
import pytest
from scipy import stats

from monitoring.analysis.judge import DEFAULT_ALPHA, ArmCounts, Block, Guardrail, Tally, assess, fold, initial_state
from monitoring.analysis.sample_ratio import is_sample_ratio_off
from monitoring.analysis.sequential import share_interval, share_log_e
from monitoring.analysis.verdicts import Verdict
from tests.monitoring.analysis.simulation import Setting, factor, harm_found_at

ONE_GUARDRAIL, TWO_GUARDRAILS = 1 / (0.8 * DEFAULT_ALPHA), 2 / (0.8 * DEFAULT_ALPHA)


def highest_rate(alarms: int, runs: int) -> float:
    """The 99 % binomial upper bound of a rate."""
    return float(stats.binomtest(alarms, runs, alternative="less").proportion_ci(0.99).high)


def test_simulation__one_rollout__is_what_the_judge_folds() -> None:
    setting, rng, tally, log_e = Setting(0.2, 0.05, 0.02, 2, 7), np.random.default_rng(3), Tally(), 0.0
    for _ in range(60):
        k_c, k_b = int(rng.binomial(2, 0.2)), int(rng.binomial(7, 0.05))
        past = tuple(
            np.array([float(x)]) for x in (tally.candidate_n, tally.candidate_k, tally.baseline_n, tally.baseline_k)
        )
        log_e += float(factor(setting, past, np.array([float(k_c)]), np.array([float(k_b)]))[0])
        tally = tally.folded((2, k_c), (7, k_b), 0.02)

    assert tally.log_e == pytest.approx(log_e, abs=1e-9)
    assert log_e != 0


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5])
@pytest.mark.parametrize(("block_c", "block_b"), [(1, 9), (5, 5)])
def test_simulation__ten_thousand_equal_arms__at_most_alpha_are_rolled_back(
    share: float, block_c: int, block_b: int
) -> None:
    """A look every 10 requests, 1,000 looks.

    The threshold is that of all of α, so the bound is the one of Ville's inequality itself.
    """
    setting = Setting(share, share, block_c=block_c, block_b=block_b)
    by_e, _ = harm_found_at(setting, 1 / DEFAULT_ALPHA, 1000, 10_000, seed=5)

    assert highest_rate(int(np.isfinite(by_e).sum()), 10_000) <= 1.2 * DEFAULT_ALPHA


@pytest.mark.slow
@pytest.mark.parametrize(
    ("share", "threshold", "median"),
    [(0.05, ONE_GUARDRAIL, 150), (0.05, TWO_GUARDRAILS, 150), (0.02, ONE_GUARDRAIL, 1100)],
)
def test_simulation__one_percent_grows__is_found_in_time(share: float, threshold: float, median: int) -> None:
    """The candidate has a tenth of the traffic, the margin is one point; the judge's whole rule counts."""
    _, by_rule = harm_found_at(Setting(share, 0.01), threshold, 8 * median, 4000, seed=2024)

    assert np.median(by_rule) <= median


@pytest.mark.slow
def test_simulation__real_excess_of_half_the_margin__is_mostly_left_alone() -> None:
    by_e, by_rule = harm_found_at(Setting(0.015, 0.01), ONE_GUARDRAIL, 8000, 1000, seed=7)

    assert np.isfinite(by_rule).mean() <= 0.3
    assert np.isfinite(by_e).mean() >= 2 * np.isfinite(by_rule).mean()


@pytest.mark.slow
def test_simulation__whole_judge_on_equal_arms__at_most_alpha_are_rolled_back() -> None:
    """Errors, slow requests and client errors at once, uneven blocks, the last third with all traffic on the
    candidate.
    """
    rng, alarms, rollouts = np.random.default_rng(8), 0, 200
    guardrails = [Guardrail("error_rate", 0.01), Guardrail("latency_over_slo", 0.05, 100)]
    for _ in range(rollouts):
        state, verdicts = initial_state(guardrails), []
        for step in range(60):
            n_c, n_b = (10, 0) if step >= 40 else (int(rng.poisson(1)), int(rng.poisson(9)))
            state = fold(state, Block(_drawn(rng, n_c), _drawn(rng, n_b)))
            if step % 2:
                verdicts.append(assess(state).verdict)
        alarms += Verdict.HARMFUL in verdicts

    assert highest_rate(alarms, rollouts) <= 1.2 * DEFAULT_ALPHA


def _drawn(rng: np.random.Generator, requests: int) -> ArmCounts:
    errors = int(rng.binomial(requests, 0.03))
    client_errors = int(rng.binomial(requests - errors, 0.1))
    return ArmCounts(requests, errors, client_errors, {"100": int(rng.binomial(requests, 0.05))})


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.002, 0.05, 0.5])
def test_simulation__share_interval_looked_at_often__covers_the_truth(share: float) -> None:
    rng, runs, looks = np.random.default_rng(9), 4000, range(10, 2001, 10)
    events = rng.binomial(10, share, (runs, len(looks))).cumsum(axis=1)
    log_e = np.array([[share_log_e(n, k, share) for k in range(n + 1)] + [0.0] * (2000 - n) for n in looks])
    most = log_e[np.arange(len(looks)), events].max(axis=1)

    assert highest_rate(int((most >= math.log(20)).sum()), runs) <= 1.2 * 0.05
    interval = share_interval(2000, int(events[0, -1]), 0.05)
    assert (interval.low <= share <= interval.high) == bool(log_e[-1, events[0, -1]] <= math.log(20))


@pytest.mark.slow
@pytest.mark.parametrize(("share_c", "share_b"), [(0.05, 0.05), (0.06, 0.05), (0.3, 0.05)])
def test_simulation__interval_that_is_shown__covers_the_true_difference_at_all_looks(
    share_c: float, share_b: float
) -> None:
    """Its lower end is moved by the e-process: each end may miss the truth in α of all rollouts at most."""
    rng, rollouts, missed = np.random.default_rng(17), 300, 0
    for _ in range(rollouts):
        state, has_missed = initial_state([Guardrail("error_rate", 0.01)]), False
        for _ in range(80):
            n_c, n_b = 5, 20
            candidate = ArmCounts(n_c, int(rng.binomial(n_c, share_c)))
            state = fold(state, Block(candidate, ArmCounts(n_b, int(rng.binomial(n_b, share_b)))))
            result = assess(state).guardrails[0]
            low_misses = result.interval_low > share_c - share_b or (result.is_worse and share_c <= share_b)
            has_missed |= low_misses or result.interval_high < share_c - share_b
        missed += has_missed

    assert highest_rate(missed, rollouts) <= 1.2 * 2 * DEFAULT_ALPHA


@pytest.mark.slow
def test_simulation__correct_split_looked_at_every_second__is_rarely_accused() -> None:
    rng, runs, accused = np.random.default_rng(11), 200, 0
    for _ in range(runs):
        total = rng.poisson(30, 300)
        drawn = rng.binomial(total, 0.1).cumsum()
        splits = zip(drawn.tolist(), (total.cumsum() - drawn).tolist(), strict=True)
        accused += any(is_sample_ratio_off(split, (10, 90)) for split in splits)

    assert accused <= 2
