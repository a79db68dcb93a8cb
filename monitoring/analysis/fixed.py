"""Fixed-sample references: for planning, for reports, and as checks. Not used to decide while a rollout runs."""

import math
from dataclasses import dataclass
from statistics import NormalDist

from monitoring.analysis.sequential import Interval, share_log_e

SRM_ALARM_P = 0.001


@dataclass(frozen=True)
class ZTest:
    """A two-proportion z-test: statistic and two-sided p-value."""

    z: float
    p: float


def two_proportion_z(n_1: int, k_1: int, n_2: int, k_2: int) -> ZTest:
    """Return the pooled two-proportion z-test of k_1/n_1 against k_2/n_2. Raises ValueError for an empty sample or impossible counts."""
    _check_counts(n_1, k_1)
    _check_counts(n_2, k_2)
    pooled = (k_1 + k_2) / (n_1 + n_2)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n_1 + 1 / n_2))
    if error == 0:
        return ZTest(0.0, 1.0)
    z = (k_1 / n_1 - k_2 / n_2) / error
    return ZTest(z, math.erfc(abs(z) / math.sqrt(2)))


def _check_counts(n: int, k: int) -> None:
    if n <= 0 or not 0 <= k <= n:
        raise ValueError(f"a sample has at least one request and at most as many events: {k} of {n}")


def wilson(n: int, k: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval of a share. Raises ValueError for an empty sample or impossible counts."""
    _check_counts(n, k)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = k / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def newcombe(n_1: int, k_1: int, n_2: int, k_2: int, confidence: float = 0.95) -> Interval:
    """Return Newcombe's hybrid score interval of share_1 − share_2 (method 10)."""
    one, two = wilson(n_1, k_1, confidence), wilson(n_2, k_2, confidence)
    share_1, share_2 = k_1 / n_1, k_2 / n_2
    difference = share_1 - share_2
    low = difference - math.hypot(share_1 - one.low, two.high - share_2)
    high = difference + math.hypot(one.high - share_1, share_2 - two.low)
    return Interval(low, high)


def ks_critical(n: int, m: int, alpha: float = 0.05) -> float:
    """Return the asymptotic critical value of the two-sample Kolmogorov–Smirnov distance."""
    if n <= 0 or m <= 0:
        raise ValueError("both samples need at least one value")
    return math.sqrt(-math.log(alpha / 2) / 2) * math.sqrt((n + m) / (n * m))


def sample_ratio_p(observed: tuple[int, int], weights_pct: tuple[int, int]) -> float:
    """Return the χ² p-value (one degree of freedom) of an observed split of drawn requests against the weights."""
    total, weight = sum(observed), sum(weights_pct)
    if total == 0 or 0 in weights_pct:
        return 1.0
    statistic = 0.0
    for count, pct in zip(observed, weights_pct, strict=True):
        expected = total * pct / weight
        statistic += (count - expected) ** 2 / expected
    return math.erfc(math.sqrt(statistic / 2))


def is_sample_ratio_off(observed: tuple[int, int], weights_pct: tuple[int, int]) -> bool:
    """Return whether the split is so unlikely (p < .001) that the counts must not be compared.

    The χ² alone, asked every second of ten minutes, would accuse one correct split in thirty; so the anytime-valid evidence must agree. The
    counts are of one step: the weights were the same for all of them.
    """
    if sample_ratio_p(observed, weights_pct) >= SRM_ALARM_P:
        return False
    share = weights_pct[0] / sum(weights_pct)
    return share_log_e(sum(observed), observed[0], share) >= math.log(1 / SRM_ALARM_P)
