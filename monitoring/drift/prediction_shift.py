"""How far the predictions of one arm lie from another's at the same time, with an interval that holds at every look.

Numbers: the largest difference of the two distribution functions. Categories: the largest difference of a class's
share. Both are from 0 to 1.

For one sample of n, the distribution function is off by more than √(ln(2/δ)/(2n)) with probability δ at most (Massart
1990; of shares of k classes with δ/k, Hoeffding 1963). With δ = α/(n(n+1)) the sum over every n is α: the band holds at
all sample sizes at once, so at every look. Each arm gets half of α.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class Shift:
    """A distance with its interval, and the observations of each arm."""

    value: float
    low: float
    high: float
    candidate_n: int
    baseline_n: int


def band(n: int, alpha: float, classes: int = 1) -> float:
    """By how much shares of n observations are off at most, at every n at once with probability 1 − alpha."""
    return math.sqrt(math.log(2 * classes * n * (n + 1) / alpha) / (2 * n))


def shift(candidate: Sequence[int], baseline: Sequence[int], *, is_ordered: bool, alpha: float) -> Shift | None:
    """The shift between counts by bin; None while an arm has none."""
    n, m = sum(candidate), sum(baseline)
    if not n or not m:
        return None
    gaps = [one / n - other / m for one, other in zip(candidate, baseline, strict=True)]
    value = max(abs(gap) for gap in (accumulate(gaps) if is_ordered else gaps))
    classes = 1 if is_ordered else len(gaps)
    width = band(n, alpha / 2, classes) + band(m, alpha / 2, classes)
    return Shift(value, max(value - width, 0.0), min(value + width, 1.0), n, m)
