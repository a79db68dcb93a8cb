"""How events cluster by unit: requests and events of each unit bucket of both arms since the beginning."""

from collections.abc import Mapping
from dataclasses import dataclass

from dataplane.wire.window_batch import UNIT_BUCKETS

_NONE = (0,) * UNIT_BUCKETS


def _added(totals: tuple[int, ...], more: Mapping[int, int]) -> tuple[int, ...]:
    if not more:
        return totals
    return tuple(total + more.get(bucket, 0) for bucket, total in enumerate(totals))


@dataclass(frozen=True)
class BucketSums:
    """Requests and events of one arm by unit bucket."""

    n: tuple[int, ...] = _NONE
    k: tuple[int, ...] = _NONE

    def folded(self, counts: Mapping[int, tuple[int, int]]) -> "BucketSums":
        """With more (requests, events) by bucket."""
        return BucketSums(
            _added(self.n, {bucket: n for bucket, (n, _) in counts.items()}),
            _added(self.k, {bucket: k for bucket, (_, k) in counts.items() if k}),
        )

    @property
    def filled(self) -> int:
        """How many buckets have a request."""
        return sum(n > 0 for n in self.n)

    def spread(self, requests: int) -> float:
        """How many equally busy sources `requests` would be from, (Σn)² / Σn²; those without a unit are one each."""
        alone = requests - sum(self.n)
        squares = sum(n * n for n in self.n) + alone
        return requests * requests / squares if squares else 0.0

    def residual_squares(self, share: float) -> float:
        """Σ (k − share n)² over the buckets."""
        return sum((k - share * n) ** 2 for n, k in zip(self.n, self.k, strict=True) if n)
