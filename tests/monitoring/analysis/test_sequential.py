"""E-values and intervals: exact means by enumeration, known values, and oracles."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from monitoring.analysis.fixed import ks_critical, newcombe, two_proportion_z, wilson
from monitoring.analysis.quantiles import quantile_interval, quantile_log_e
from monitoring.analysis.sequential import (
    bet,
    block_log_e,
    difference_interval,
    msprt_log_ratio,
    normal_mixture_boundary,
    normal_mixture_rho,
    share_interval,
    share_log_e,
)

shares = st.floats(0.01, 0.99)


def density(successes: int, trials: int, share: float) -> float:
    """Return the binomial density. Written out, because scipy's overflows for shares near the smallest number."""
    return math.comb(trials, successes) * share**successes * (1 - share) ** (trials - successes)


def mean_factor(sizes: tuple[int, int], true: tuple[float, float], bets: tuple[float, float], margin: float) -> float:
    """Return the mean of a block's factor over all outcomes."""
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


def test_normal_mixture__rho_for_a_variance__is_tight_there() -> None:
    rho = normal_mixture_rho(500, 0.05)
    best = normal_mixture_boundary(500, rho, 0.05)

    assert rho == pytest.approx(500 / (2 * math.log(20) + math.log(1 + 2 * math.log(20))))
    assert best < min(normal_mixture_boundary(500, rho * factor, 0.05) for factor in (0.1, 10))
    assert normal_mixture_boundary(0, rho, 0.05) == pytest.approx(math.sqrt(rho * 2 * math.log(20)))


def test_msprt__known_shares__is_the_normal_mixture_integral() -> None:
    pairs, one, other, tau = 400, 0.06, 0.03, 0.02
    variance = one * (1 - one) + other * (1 - other)
    spread = math.sqrt(variance / pairs)

    def weighted(difference: float) -> float:
        return float(stats.norm.pdf(one - other, difference, spread) * stats.norm.pdf(difference, 0, tau))

    ratio = integrate.quad(weighted, -0.2, 0.2, points=[0, 0.03])[0] / stats.norm.pdf(one - other, 0, spread)

    assert msprt_log_ratio(pairs, one, other, tau) == pytest.approx(math.log(ratio), abs=1e-6)


def test_msprt__no_variance_or_no_data__says_nothing() -> None:
    assert msprt_log_ratio(100, 0, 0, 0.1) == 0
    assert msprt_log_ratio(0, 0.5, 0.1, 0.1) == 0
    with pytest.raises(ValueError):
        msprt_log_ratio(10, float("nan"), 0.1, 0.1)


def test_quantile__arms_without_overlap__is_strong_evidence() -> None:
    assert quantile_log_e({1: 200}, {5: 200}, 0.5) > math.log(1e6)


def test_quantile__same_counts_or_an_empty_arm__is_none() -> None:
    assert quantile_log_e({1: 50, 2: 50}, {1: 50, 2: 50}, 0.95) <= 0
    assert quantile_log_e({}, {1: 50}, 0.95) == 0


def test_quantile__all_values_in_one_bucket__ties_are_no_evidence() -> None:
    assert quantile_log_e({7: 1000}, {7: 10}, 0.95) <= 0


@settings(max_examples=40)
@given(st.dictionaries(st.integers(0, 12), st.integers(1, 40), min_size=1), st.sampled_from([0.5, 0.9, 0.95]))
def test_quantile_interval__any_counts__holds_the_observed_quantile(buckets: dict[int, int], quantile: float) -> None:
    interval = quantile_interval(buckets, quantile, 0.05)
    ordered = [bucket for bucket in sorted(buckets) for _ in range(buckets[bucket])]

    assert interval is not None
    assert interval.low <= ordered[min(len(ordered) - 1, int(quantile * len(ordered)))] <= interval.high


def test_quantile_interval__few_values__has_no_upper_end() -> None:
    few, many = (quantile_interval(dict.fromkeys(range(20), count), 0.95, 0.05) for count in (1, 40))

    assert few is not None
    assert few.high == math.inf
    assert many is not None
    assert many.high < math.inf
    assert quantile_interval({}, 0.95, 0.05) is None


@pytest.mark.parametrize(
    "call",
    [
        lambda: wilson(0, 0),
        lambda: newcombe(10, 11, 10, 1),
        lambda: two_proportion_z(0, 0, 5, 1),
        lambda: ks_critical(0, 5),
    ],
)
def test_fixed__empty_or_impossible_samples__are_refused(call: object) -> None:
    with pytest.raises(ValueError):
        call()  # type: ignore[operator]


def test_z_test__far_apart__p_does_not_round_to_zero() -> None:
    assert 0 < two_proportion_z(1000, 400, 1000, 100).p < 1e-40


def test_z_test__no_events_at_all__is_no_difference() -> None:
    assert two_proportion_z(10, 0, 10, 0).p == 1


def test_wilson__no_events__begins_at_zero() -> None:
    assert wilson(100, 0).low == 0
    assert wilson(100, 100).high == 1
