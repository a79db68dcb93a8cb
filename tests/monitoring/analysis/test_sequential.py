"""E-values and intervals: exact means by enumeration, known values, and oracles."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from monitoring.analysis.sequential import (
    bet,
    block_log_e,
    difference_interval,
    share_interval,
    share_log_e,
)

shares = st.floats(0.01, 0.99)


def density(successes: int, trials: int, share: float) -> float:
    """The binomial density. Written out, because scipy's overflows for shares near the smallest number."""
    return math.comb(trials, successes) * share**successes * (1 - share) ** (trials - successes)


def mean_factor(sizes: tuple[int, int], true: tuple[float, float], bets: tuple[float, float], margin: float) -> float:
    """The mean of a block's factor over all outcomes."""
    (n_c, n_b), (p_c, p_b) = sizes, true
    return sum(
        density(k_c, n_c, p_c) * density(k_b, n_b, p_b) * math.exp(block_log_e((n_c, k_c), (n_b, k_b), *bets, margin))
        for k_c in range(n_c + 1)
        for k_b in range(n_b + 1)
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 5),
    shares,
    shares,
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from([0, 0.01, 0.2]),
)
def test_block__any_bet_and_any_truth_in_the_null__mean_is_at_most_one(
    n_c: int, n_b: int, bet_c: float, bet_b: float, p_b: float, part: float, margin: float
) -> None:
    p_c = part * min(1.0, p_b + margin)

    assert mean_factor((n_c, n_b), (p_c, p_b), (bet_c, bet_b), margin) <= 1 + 1e-9


def test_block__truth_is_the_bet__mean_is_above_one() -> None:
    assert mean_factor((3, 5), (0.4, 0.1), (0.4, 0.1), 0.0) > 1.2
    assert 1.01 < mean_factor((3, 5), (0.4, 0.1), (0.4, 0.1), 0.1) < mean_factor((3, 5), (0.4, 0.1), (0.4, 0.1), 0.0)


def test_block__known_counts__is_the_ratio_of_likelihoods() -> None:
    pooled = (10 * 0.05 + 90 * 0.01) / 100
    theirs = stats.binom.pmf(2, 10, 0.05) * stats.binom.pmf(1, 90, 0.01)
    theirs /= stats.binom.pmf(2, 10, pooled) * stats.binom.pmf(1, 90, pooled)

    assert block_log_e((10, 2), (90, 1), 0.05, 0.01) == pytest.approx(math.log(theirs))


@pytest.mark.parametrize(("candidate", "baseline"), [((0, 0), (9, 1)), ((5, 1), (0, 0)), ((0, 0), (0, 0))])
def test_block__an_arm_is_empty__says_nothing(candidate: tuple[int, int], baseline: tuple[int, int]) -> None:
    assert block_log_e(candidate, baseline, 0.1, 0.01) == 0


def test_block__bet_on_less_harm_than_the_null_allows__says_nothing() -> None:
    assert block_log_e((5, 5), (5, 0), 0.01, 0.1) == 0
    assert block_log_e((5, 5), (5, 0), 0.15, 0.1, 0.06) == 0


def test_bet__baseline_hardly_seen__is_none() -> None:
    assert bet((5, 5), (9, 0), 0.01) is None
    assert bet((5, 5), (10, 0), 0.01) is not None


def test_bet__candidate_clearly_better__is_none() -> None:
    assert bet((1000, 0), (1000, 500), 0.01) is None


@given(st.integers(0, 500), st.integers(0, 500), st.integers(10, 500), st.integers(0, 500))
def test_bet__any_past__stays_strictly_between_zero_and_one(n_c: int, k_c: int, n_b: int, k_b: int) -> None:
    shares_of_bet = bet((n_c, min(k_c, n_c)), (n_b, min(k_b, n_b)), 0.01)

    assert shares_of_bet is None or all(0 < share < 1 for share in shares_of_bet)


@pytest.mark.parametrize(("trials", "events", "share"), [(20, 3, 0.1), (50, 0, 0.02), (7, 7, 0.6)])
def test_share_log_e__known_counts__is_the_mixture_integral(trials: int, events: int, share: float) -> None:
    def weighted(p: float) -> float:
        return float(stats.binom.pmf(events, trials, p) * stats.beta.pdf(p, 0.5, 0.5))

    mixture = integrate.quad(weighted, 0, 1, limit=200)[0] / stats.binom.pmf(events, trials, share)

    assert share_log_e(trials, events, share) == pytest.approx(math.log(mixture), abs=1e-4)


@pytest.mark.parametrize("trials", [1, 5, 40])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.95])
def test_share_log_e__all_outcomes__mean_is_one(trials: int, share: float) -> None:
    mean = sum(
        float(stats.binom.pmf(k, trials, share)) * math.exp(share_log_e(trials, k, share)) for k in range(trials + 1)
    )

    assert mean == pytest.approx(1)


def test_share_interval__compared_with_a_fixed_sample__is_wider() -> None:
    ours, fixed = share_interval(1000, 15, 0.05), stats.binomtest(15, 1000).proportion_ci(0.95)

    assert ours.low < fixed.low < fixed.high < ours.high


def test_share_interval__nothing_and_everything__has_open_ends() -> None:
    assert (share_interval(0, 0, 0.05).low, share_interval(0, 0, 0.05).high) == (0, 1)
    assert share_interval(30, 30, 0.05).high == 1
    assert share_interval(30, 30, 0.05).low == pytest.approx(1 - share_interval(30, 0, 0.05).high)


@pytest.mark.parametrize(
    ("trials", "events", "alpha"), [(5, 6, 0.05), (5, -1, 0.05), (5, 1, 0.0), (5, 1, float("nan"))]
)
def test_share_interval__impossible_input__is_refused(trials: int, events: int, alpha: float) -> None:
    with pytest.raises(ValueError):
        share_interval(trials, events, alpha)


def test_difference_interval__arms_swapped__is_mirrored() -> None:
    one, other = difference_interval((100, 6), (900, 9), 0.05), difference_interval((900, 9), (100, 6), 0.05)

    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert one.low < 0.05 < one.high
