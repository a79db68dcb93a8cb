"""Which arm and which replica answers. Pure: same table, same unit, same arm.

bucket = first 8 bytes of SHA-256(salt ":" unit), big-endian, mod 10000. The arms other than stable take the lowest
buckets in table order, stable the rest, so that raising a candidate's weight only adds units to it. The ninth byte
gives the evidence bucket of the unit: what fails together is counted together, and it says nothing of the arm.
"""

import hashlib
import random
from collections.abc import Callable, Mapping

from dataplane.gateway.core.compiled_table import ArmRoute, EndpointRoute, TargetRoute
from dataplane.wire.route_table import STABLE
from dataplane.wire.window_batch import UNIT_BUCKETS

BUCKETS = 10_000
BUCKETS_PER_PCT = 100


def buckets_of(salt: str, unit: str) -> tuple[int, int]:
    """The bucket that decides the arm of a unit, and its evidence bucket, both for the life of a release."""
    digest = hashlib.sha256(f"{salt}:{unit}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS, digest[8] % UNIT_BUCKETS


def is_targeted(targets: TargetRoute, headers: Mapping[bytes, bytes], unit: str) -> bool:
    """Whether a request was chosen: by the exact value of a header, or by its unit."""
    for name, values in targets.headers:
        if headers.get(name) in values:
            return True
    if not unit or not targets.units:
        return False
    return hashlib.sha256(f"{targets.salt}:{unit}".encode()).hexdigest() in targets.units


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
