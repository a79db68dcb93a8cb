"""A latency histogram with logarithmic buckets: exactly mergeable over processes and windows, any quantile within 1 %.

After DDSketch (Masson, Rim, Lee, VLDB 2019): with γ = 1.02 a latency of x ms falls in bucket i = ceil(log(x) / log(γ)),
whose value is 2γ^i / (γ + 1); the relative error is at most (γ − 1) / (γ + 1) < 1 %. Pure; no Django.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from dataplane.wire.shapes import Count, Number

GAMMA = 1.02
ZERO_MS = 0.001
_LOG_GAMMA = math.log(GAMMA)
BUCKET_MIN = math.ceil(math.log(ZERO_MS) / _LOG_GAMMA)
LATENCY_MAX_MS = 1e9
BUCKET_MAX = math.ceil(math.log(LATENCY_MAX_MS) / _LOG_GAMMA)

Bucket = Annotated[int, Meta(ge=BUCKET_MIN, le=BUCKET_MAX)]
Milliseconds = Annotated[float, Meta(ge=0, le=LATENCY_MAX_MS)]


def bucket_of(latency_ms: float) -> int:
    """The bucket of a latency above `ZERO_MS`, never beyond `BUCKET_MAX`."""
    return min(math.ceil(math.log(latency_ms) / _LOG_GAMMA), BUCKET_MAX)


def place_of(latency_ms: float) -> int:
    """Where a latency stands among the buckets; those up to `ZERO_MS` are below all of them."""
    return bucket_of(latency_ms) if latency_ms > ZERO_MS else BUCKET_MIN - 1


def count_over(buckets: dict[int, int], threshold_ms: float) -> int:
    """How many of the counted latencies were above `threshold_ms`, up to the width of its bucket (2 %)."""
    limit = place_of(threshold_ms)
    return sum(count for bucket, count in buckets.items() if bucket > limit)


def value_of(bucket: int) -> float:
    """The latency in ms that stands for a bucket."""
    return float(2 * GAMMA**bucket / (GAMMA + 1))


class Histogram:
    """Counts by bucket, with the sum and the largest latency in ms."""

    __slots__ = ("buckets", "max_ms", "sum_ms", "zero")

    def __init__(self) -> None:
        self.zero = 0
        self.buckets: dict[int, int] = {}
        self.sum_ms = 0.0
        self.max_ms = 0.0

    def add(self, latency_ms: float) -> None:
        """Count one latency. Raises ValueError for a negative one, NaN or infinity."""
        if not 0 <= latency_ms < math.inf:
            raise ValueError(f"a latency is a finite number of at least 0 ms, not {latency_ms}")
        self.sum_ms += latency_ms
        if latency_ms > self.max_ms:
            self.max_ms = latency_ms
        if latency_ms <= ZERO_MS:
            self.zero += 1
            return
        bucket = bucket_of(latency_ms)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1

    @property
    def count(self) -> int:
        return self.zero + sum(self.buckets.values())

    def merge(self, other: "Histogram | Latency") -> None:
        """Add the counts of `other` to this one."""
        self.zero += other.zero
        self.sum_ms += other.sum_ms
        self.max_ms = max(self.max_ms, other.max_ms)
        counts, known = self.buckets, self.buckets.get  # looked up once: thousands of histograms are merged for a page
        for bucket, count in other.buckets.items():
            counts[bucket] = known(bucket, 0) + count

    def quantile(self, share: float) -> float | None:
        """The latency in ms below which `share` (0–1) of the counts lie; None when nothing was counted."""
        return self.quantiles([share])[0]

    def quantiles(self, shares: Sequence[float]) -> list[float | None]:
        """The quantile of each share, in one walk; the shares rise."""
        total = self.count
        if total == 0:
            return [None] * len(shares)
        found: list[float | None] = []
        rising = iter(sorted(self.buckets))
        seen, bucket = self.zero, None
        for share in shares:
            while share * (total - 1) >= seen:
                bucket = next(rising)
                seen += self.buckets[bucket]
            found.append(0.0 if bucket is None else value_of(bucket))
        return found

    def count_over(self, threshold_ms: float) -> int:
        """How many latencies were above `threshold_ms`, up to the width of its bucket (2 %)."""
        return count_over(self.buckets, threshold_ms)

    def to_dict(self) -> dict[str, Any]:
        """The histogram as JSON-able values."""
        buckets = {str(bucket): count for bucket, count in self.buckets.items()}
        return {"zero": self.zero, "buckets": buckets, "sum_ms": round(self.sum_ms, 3), "max_ms": round(self.max_ms, 3)}

    def latency(self) -> "Latency":
        """The histogram as it is sent (docs/wire.md section 4)."""
        return Latency(self.zero, dict(self.buckets), round(self.sum_ms, 3), round(self.max_ms, 3))

    @classmethod
    def from_dict(cls, data: "dict[str, Any]") -> "Histogram":
        """The histogram of `to_dict`, as it was taken in once (`Latency`)."""
        histogram = cls()
        histogram.zero = data.get("zero", 0)
        histogram.buckets = {int(bucket): count for bucket, count in data.get("buckets", {}).items()}
        histogram.sum_ms = data.get("sum_ms", 0.0)
        histogram.max_ms = data.get("max_ms", 0.0)
        return histogram


class Latency(Struct, frozen=True):
    """A histogram on its way: counts by bucket, `zero` of those up to `ZERO_MS`."""

    zero: Count = 0
    buckets: dict[Bucket, Count] = {}
    sum_ms: Number = 0.0
    max_ms: Milliseconds = 0.0

    def check(self, requests: int) -> None:
        """Raise ValueError unless each of `requests` is counted once and none took longer than `LATENCY_MAX_MS`."""
        if self.zero + sum(self.buckets.values()) != requests:
            raise ValueError("latency must count every request once")
        if self.sum_ms > LATENCY_MAX_MS * max(requests, 1):
            raise ValueError(f"latency: no request takes longer than {LATENCY_MAX_MS:g} ms")


def merged(parts: Iterable[dict[str, Any]]) -> Histogram:
    """The merge of histograms as `to_dict` gives them.

    They are not checked: what is stored was checked when it came.
    """
    total = Histogram()
    counts: defaultdict[str, int] = defaultdict(int)
    for part in parts:
        total.zero += part.get("zero", 0)
        total.sum_ms += part.get("sum_ms", 0.0)
        total.max_ms = max(total.max_ms, part.get("max_ms", 0.0))
        for bucket, count in part.get("buckets", {}).items():
            counts[bucket] += count
    total.buckets = {int(bucket): count for bucket, count in counts.items()}
    return total
