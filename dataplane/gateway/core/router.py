"""Which arm and which replica answers. Pure: same table, same unit, same arm.

bucket = first 8 bytes of SHA-256(salt ":" unit), big-endian, mod 10000. The arms other than stable take the lowest
buckets in table order, stable the rest, so that raising a candidate's weight only adds units to it.
"""

import hashlib
import random
from collections.abc import Callable

from dataplane.gateway.core.compiled_table import ArmRoute, EndpointRoute
from dataplane.wire.route_table import STABLE

BUCKETS = 10_000
BUCKETS_PER_PCT = 100


def bucket_of(salt: str, unit: str) -> int:
    """The bucket of a unit for the life of a release."""
    return int.from_bytes(hashlib.sha256(f"{salt}:{unit}".encode()).digest()[:8], "big") % BUCKETS


def drawn_bucket(draw: Callable[[int], int] = random.randrange) -> int:
    """A uniformly drawn bucket for a request without a unit."""
    return draw(BUCKETS)


def arm_for(route: EndpointRoute, bucket: int) -> ArmRoute:
    """The arm that owns `bucket`."""
    edge = 0
    stable: ArmRoute | None = None
    for arm in route.arms:
        if arm.arm == STABLE:
            stable = arm
            continue
        edge += arm.weight_pct * BUCKETS_PER_PCT
        if bucket < edge:
            return arm
    return stable if stable is not None else route.arms[-1]


def arm_of_version(route: EndpointRoute, version: str) -> ArmRoute | None:
    """The arm that serves `version` with at least one replica, if any does."""
    return next((arm for arm in route.arms if arm.version == version and arm.replicas), None)
