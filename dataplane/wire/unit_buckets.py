"""The bucket of a unit, and the arm that owns a bucket. Pure: same salt, same unit, same arm.

bucket = first 8 bytes of SHA-256(salt ":" unit), big-endian, mod 10000. The arms other than stable take the lowest
buckets in table order, stable the rest, so that raising a candidate's weight only adds units to it. The ninth byte
gives the evidence bucket of the unit: what fails together is counted together, and it says nothing of the arm.
"""

import hashlib
from collections.abc import Sequence
from typing import Protocol, TypeVar

from dataplane.wire.route_table import STABLE
from dataplane.wire.window_batch import UNIT_BUCKETS

BUCKETS = 10_000
BUCKETS_PER_PCT = 100
UNIT_MAX_CHARS = 256  # of a unit's name; what is longer is cut off there


class Weighted(Protocol):
    """An arm with its share of the traffic."""

    @property
    def arm(self) -> str: ...

    @property
    def weight_pct(self) -> int: ...


WeightedT = TypeVar("WeightedT", bound=Weighted)


def buckets_of(salt: str, unit: str) -> tuple[int, int]:
    """The bucket that decides the arm of a unit, and its evidence bucket, both for the life of a release."""
    digest = hashlib.sha256(f"{salt}:{unit}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS, digest[8] % UNIT_BUCKETS


def owner_of(arms: Sequence[WeightedT], bucket: int) -> WeightedT:
    """The arm, among those of an endpoint in table order, that owns `bucket`."""
    edge = 0
    stable: WeightedT | None = None
    for arm in arms:
        if arm.arm == STABLE:
            stable = arm
            continue
        edge += arm.weight_pct * BUCKETS_PER_PCT
        if bucket < edge:
            return arm
    return stable if stable is not None else arms[-1]
