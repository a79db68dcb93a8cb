"""Anytime-valid comparison of one quantile of two arms, from the buckets of their latency histograms.

Howard, Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm identification", arXiv 1906.09712.
"""

import math
from collections.abc import Mapping
from itertools import accumulate

from monitoring.analysis.sequential import Interval, share_log_e

Buckets = Mapping[int, int]  # bucket index → count, larger index = larger value


def quantile_log_e(one: Buckets, other: Buckets, quantile: float) -> float:
    """Return the log e-value against "both arms have the same `quantile`": min over x of log m(F_1(x)) + log m(F_2(x)).

    m is the Beta(½, ½) mixture that the share of values up to x is `quantile`. Values are known only as buckets, so ties are the rule: at a bucket
    the number of values below a randomly broken tie lies between those before and those up to it, and the least evidence in that range
    is taken. 0 when an arm is empty.
    """
    if not 0 < quantile < 1:
        raise ValueError(f"a quantile lies between 0 and 1, not {quantile}")
    total_one, total_other = sum(one.values()), sum(other.values())
    if not total_one or not total_other:
        return 0.0
    seen_one = seen_other = 0
    least = math.inf
    for bucket in sorted({*one, *other}):
        next_one, next_other = seen_one + one.get(bucket, 0), seen_other + other.get(bucket, 0)
        evidence = _least(total_one, seen_one, next_one, quantile) + _least(
            total_other, seen_other, next_other, quantile
        )
        least = min(least, evidence)
        seen_one, seen_other = next_one, next_other
    return least


def quantile_interval(buckets: Buckets, quantile: float, alpha: float) -> Interval | None:
    """Return the lowest and highest bucket that a quantile's confidence sequence holds; None without values.

    An end at which the data set no bound is infinite: the upper one of p95 needs dozens of values.
    """
    total = sum(buckets.values())
    if not total:
        return None
    if not 0 < quantile < 1 or not 0 < alpha < 1:
        raise ValueError("quantile and alpha lie between 0 and 1")
    limit = math.log(1 / alpha)
    ordered = sorted(bucket for bucket, count in buckets.items() if count)
    up_to = list(accumulate(buckets[bucket] for bucket in ordered))
    before = [0, *up_to[:-1]]
    held = [
        bucket
        for bucket, low, high in zip(ordered, before, up_to, strict=True)
        if _least(total, low, high, quantile) < limit
    ]
    low_end = -math.inf if share_log_e(total, 0, quantile) < limit else float(held[0])
    high_end = math.inf if share_log_e(total, total, quantile) < limit else float(held[-1])
    return Interval(low_end, high_end)


def _least(total: int, low: int, high: int, share: float) -> float:
    """Return the smallest log e-value over event counts from `low` to `high`: it is convex, with its bottom near total · share."""
    bottom = round(total * share)
    near = {min(max(count, low), high) for count in (bottom - 1, bottom, bottom + 1)}
    return min(share_log_e(total, count, share) for count in near)
