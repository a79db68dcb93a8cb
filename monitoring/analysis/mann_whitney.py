"""Kayenta's comparison of two series of measurements: a Mann–Whitney interval of the shift, at 98 %.

After its NetflixACAJudge (`MannWhitney`, `MannWhitneyClassifier`): W(μ), the rank sum of the candidate's values less μ
among both with average ties, less its mean; divided by its deviation with the correction for ties and continuity; the
ends are where that is ± z, the estimate where it is 0 (Hodges and Lehmann). High: the lower end is above `TOLERANCE`
times the estimate, and the ratio of the means is at least `allowed_increase`; of a mean of 0 there is no ratio, and the
limit is not applied.

What it is known to get wrong is said by `LocationShift.doubt` and never passed: no data, ties that hide a shift (more
than half of all values are one), and too few points for the level (below 5 of an arm it can hardly reject at all).
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

CONFIDENCE, TOLERANCE = 0.98, 0.25
POINTS_MIN = 5  # exact two-sided: 2 / C(10, 5) = 0.008 is the first below 0.02
_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
_BISECTIONS = 60


@dataclass(frozen=True)
class LocationShift:
    """How far the candidate's values lie above the stable arm's. `doubt` says why nothing can be said, else it is
    empty.
    """

    low: float
    high: float
    estimate: float
    ratio: float | None
    is_higher: bool
    doubt: str = ""


def shift_of(
    candidate: Sequence[float], baseline: Sequence[float], allowed_increase: float = 1.0
) -> LocationShift | None:
    """The shift between two series; None when one of them is empty. Raises ValueError for NaN."""
    if any(math.isnan(value) for value in (*candidate, *baseline)):
        raise ValueError("NaN is no measurement")
    if not candidate or not baseline:
        return None
    ratio = fmean(candidate) / fmean(baseline) if fmean(candidate) and fmean(baseline) else None
    doubt = _doubt(candidate, baseline)
    if len({*candidate, *baseline}) == 1 or sorted(candidate) == sorted(baseline):
        return LocationShift(0.0, 0.0, 0.0, ratio, False, doubt)
    low, middle, high = (_root(candidate, baseline, at) for at in (_Z, 0.0, -_Z))
    is_higher = low > TOLERANCE * abs(middle) and (ratio is None or ratio >= allowed_increase)
    return LocationShift(low, high, middle, ratio, is_higher, doubt)


def _doubt(candidate: Sequence[float], baseline: Sequence[float]) -> str:
    fewest = min(len(candidate), len(baseline))
    if fewest < POINTS_MIN:
        return f"{fewest} points are too few for this test, which needs {POINTS_MIN} of each arm at least"
    values = Counter([*candidate, *baseline])
    value, most = values.most_common(1)[0]
    if 2 * most > values.total() and len(values) > 1:
        return f"{most} of {values.total()} points are {value:g}, and such ties hide a shift from this test"
    return ""


def _root(candidate: Sequence[float], baseline: Sequence[float], target: float) -> float:
    """The shift at which the statistic falls to `target`, by bisection between the widest shifts."""
    low, high = min(candidate) - max(baseline), max(candidate) - min(baseline)
    if _statistic(candidate, baseline, low, target) <= target:
        return low
    if _statistic(candidate, baseline, high, target) >= target:
        return high
    return _where_it_falls(lambda at: _statistic(candidate, baseline, at, target) > target, low, high)


def _where_it_falls(is_above: Callable[[float], bool], low: float, high: float) -> float:
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if is_above(middle):
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _statistic(candidate: Sequence[float], baseline: Sequence[float], shift: float, target: float) -> float:
    n, m = len(candidate), len(baseline)
    moved = [value - shift for value in candidate]
    counts = Counter([*moved, *baseline])
    ranks, before = {}, 0
    for value in sorted(counts):
        ranks[value] = before + (counts[value] + 1) / 2
        before += counts[value]
    centred = sum(ranks[value] for value in moved) - n * (n + 1) / 2 - n * m / 2
    ties = sum(count**3 - count for count in counts.values()) / ((n + m) * (n + m - 1))
    deviation = math.sqrt(max(n * m / 12 * ((n + m + 1) - ties), 0.0))
    correction = math.copysign(0.5, target) if target else 0.0
    return (centred - correction) / deviation if deviation else 0.0
