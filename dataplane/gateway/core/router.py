"""Which arm and which replica answers. Pure: same table, same unit, same arm (`dataplane.wire.unit_buckets`)."""

import hashlib
import random
from collections.abc import Callable, Mapping

from dataplane.gateway.core.compiled_table import ArmRoute, EndpointRoute, TargetRoute
from dataplane.wire.unit_buckets import BUCKETS, BUCKETS_PER_PCT, buckets_of, owner_of

__all__ = ["BUCKETS", "BUCKETS_PER_PCT", "arm_for", "arm_of_version", "buckets_of", "drawn_bucket"]


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
    return owner_of(route.arms, bucket)


def arm_of_version(route: EndpointRoute, version: str) -> ArmRoute | None:
    """The arm that serves `version` with at least one replica, if any does."""
    return next((arm for arm in route.arms if arm.version == version and arm.replicas), None)
