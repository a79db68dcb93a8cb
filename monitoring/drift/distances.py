"""Distances between two binned distributions, from shares per bin. Bins come from the reference only.

An empty bin counts as `FLOOR` where a logarithm needs it.
"""

import math
from collections.abc import Sequence
from itertools import accumulate

FLOOR = 1e-4


def shares(counts: Sequence[int]) -> list[float]:
    """Counts as shares of their sum. Raises ZeroDivisionError for nothing."""
    total = sum(counts)
    return [count / total for count in counts]


def psi(reference: Sequence[float], current: Sequence[float]) -> float:
    """Population stability index: Σ (q − p) ln(q/p), in nats. Symmetric, 0 when equal."""
    floored = [(max(p, FLOOR), max(q, FLOOR)) for p, q in zip(reference, current, strict=True)]
    return sum((q - p) * math.log(q / p) for p, q in floored)


def jensen_shannon(reference: Sequence[float], current: Sequence[float]) -> float:
    """Jensen–Shannon distance: the square root of the divergence in base 2, from 0 to 1 (Lin 1991)."""
    divergence = 0.0
    for p, q in zip(reference, current, strict=True):
        middle = (p + q) / 2
        divergence += sum(part * math.log2(part / middle) / 2 for part in (p, q) if part > 0)
    return math.sqrt(max(divergence, 0.0))


def kolmogorov_smirnov(reference: Sequence[float], current: Sequence[float]) -> float:
    """The largest difference of the two distribution functions at an edge: a lower bound of that of the values."""
    gaps = accumulate(q - p for p, q in zip(reference, current, strict=True))
    return max((abs(gap) for gap in gaps), default=0.0)


def wasserstein(reference: Sequence[float], current: Sequence[float]) -> float:
    """Earth mover's distance with one bin as the unit of length, divided by the number of steps: from 0 to 1.

    On bins of equal reference share a step is a share of the reference's ranks, so it has no unit and no outlier moves
    it.
    """
    gaps = list(accumulate(q - p for p, q in zip(reference, current, strict=True)))[:-1]
    return sum(abs(gap) for gap in gaps) / len(gaps) if gaps else 0.0
