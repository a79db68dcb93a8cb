"""E-values and intervals: exact means by enumeration, known values, and oracles."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from monitoring.analysis.sequential import (
    RATIOS,
    difference_interval,
    excess_log_e,
    share_interval,
    share_log_e,
)


def density(successes: int, trials: int, share: float) -> float:
    """The binomial density. Written out, because scipy's overflows for shares near the smallest number."""
    return math.comb(trials, successes) * share**successes * (1 - share) ** (trials - successes)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.floats(0.01, 0.99))
def test_excess__any_number_of_events_of_equal_arms__mean_is_one_whatever_the_split(events: int, part: float) -> None:
    mean = sum(density(k, events, part) * math.exp(excess_log_e(k, events - k, part)) for k in range(events + 1))

    assert mean == pytest.approx(1)


def test_excess__known_events__is_the_mixture_of_ratios_of_likelihoods() -> None:
    theirs = sum(
        stake * stats.binom.pmf(6, 16, 0.1 * ratio / (1 + 0.1 * (ratio - 1))) / stats.binom.pmf(6, 16, 0.1)
        for ratio, stake in RATIOS
    )

    assert sum(stake for _, stake in RATIOS) == pytest.approx(1)
    assert excess_log_e(6, 10, 0.1) == pytest.approx(math.log(theirs))


def test_excess__no_event_or_all_of_the_stable_arm__says_nothing_against_the_candidate() -> None:
    assert excess_log_e(0, 0, 0.3) == pytest.approx(0)
    assert excess_log_e(0, 500, 0.3) < -10


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
