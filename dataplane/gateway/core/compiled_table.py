"""A route table as requests use it: compiled once from the wire's, immutable, swapped as a whole between two
requests.
"""

from dataclasses import dataclass
from functools import cached_property

from msgspec import UNSET

from dataplane.wire import route_table
from dataplane.wire.histogram import place_of
from dataplane.wire.route_table import ClientKey, ReplicaAddress, RouteTable


@dataclass(frozen=True)
class Key:
    """What one gateway key opens. `expires_at` is Unix time or None."""

    prefix: str
    endpoints: frozenset[str]
    expires_at: float | None

    def opens(self, endpoint: str) -> bool:
        return "*" in self.endpoints or endpoint in self.endpoints


@dataclass(frozen=True)
class ArmRoute:
    """One arm of an endpoint."""

    arm: str
    version: str
    weight_pct: int
    release: str
    replicas: tuple[ReplicaAddress, ...]
    mirror_pct: int

    @cached_property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The response headers that name this arm."""
        return (
            (b"x-mlorch-version", self.version.encode()),
            (b"x-mlorch-arm", self.arm.encode()),
            (b"x-mlorch-release", self.release.encode()),
        )


@dataclass(frozen=True)
class UnitBasis:
    """What the counts of unit buckets rest on: the salt of the buckets, and the latencies above which a request is
    slow, also as places among the histogram's buckets.
    """

    salt: str
    slos_ms: tuple[float, ...]
    limits: tuple[int, ...]


@dataclass(frozen=True)
class TargetRoute:
    """Requests that go to `arm` because of what they are: values by header name, digests of units under `salt`."""

    arm: ArmRoute
    headers: tuple[tuple[bytes, frozenset[bytes]], ...]
    salt: str
    units: frozenset[str]


@dataclass(frozen=True)
class EndpointRoute:
    """One endpoint with its limits.

    `shadow` is the arm that requests are mirrored to, `log_share` (0–1) how many are logged. `units` is None while no
    version is compared with the stable one: then nothing is counted per unit. `targets` is None while nothing is
    chosen.
    """

    name: str
    release: str
    salt: str
    timeout_ms: int
    max_body_bytes: int
    max_in_flight: int
    max_batch_rows: int
    max_batch_delay_ms: int
    retry_on_stable: bool
    log_share: float
    log_redacted: frozenset[str]
    shadow: ArmRoute | None
    units: UnitBasis | None
    targets: TargetRoute | None
    arms: tuple[ArmRoute, ...]


@dataclass(frozen=True)
class CompiledTable:
    """One environment's routes. `keys` are found by digest, `source` is what it was compiled from."""

    environment: str
    revision: int
    keys: dict[str, Key]
    endpoints: dict[str, EndpointRoute]
    source: RouteTable


def compile_table(source: RouteTable) -> CompiledTable:
    """A valid table for the way of requests."""
    endpoints = {name: _endpoint(name, endpoint) for name, endpoint in source.endpoints.items()}
    keys = {key.digest: _key(key) for key in source.keys}
    return CompiledTable(source.environment, source.revision, keys, endpoints, source)


def _key(key: ClientKey) -> Key:
    return Key(key.prefix, frozenset(key.endpoints), key.expires_at)


def _endpoint(name: str, endpoint: route_table.Endpoint) -> EndpointRoute:
    arms = tuple(_arm(arm) for arm in endpoint.arms)
    return EndpointRoute(
        name=name,
        release=endpoint.release,
        salt=endpoint.salt,
        timeout_ms=endpoint.timeout_ms,
        max_body_bytes=endpoint.max_body_bytes,
        max_in_flight=endpoint.max_in_flight,
        max_batch_rows=endpoint.max_batch_rows,
        max_batch_delay_ms=endpoint.max_batch_delay_ms,
        retry_on_stable=endpoint.retry_on_stable,
        log_share=endpoint.log.share_pct / 100,
        log_redacted=frozenset(endpoint.log.redacted),
        shadow=next((arm for arm in arms if arm.mirror_pct and arm.replicas), None),
        units=_units(endpoint),
        targets=_targets(endpoint, arms),
        arms=arms,
    )


def _targets(endpoint: route_table.Endpoint, arms: tuple[ArmRoute, ...]) -> TargetRoute | None:
    told = endpoint.targets
    if told is UNSET or not (told.headers or told.units):
        return None
    values = ((name, frozenset(value.encode() for value in known)) for name, known in told.headers.items())
    headers = tuple((name.encode(), known) for name, known in values)
    arm = next(arm for arm in arms if arm.arm == told.arm)
    return TargetRoute(arm, headers, told.salt, frozenset(told.units))


def _units(endpoint: route_table.Endpoint) -> UnitBasis | None:
    if all(arm.arm == route_table.STABLE for arm in endpoint.arms):
        return None
    return UnitBasis(endpoint.salt, tuple(endpoint.slos_ms), tuple(place_of(slo_ms) for slo_ms in endpoint.slos_ms))


def _arm(arm: route_table.Arm) -> ArmRoute:
    return ArmRoute(arm.arm, arm.version, arm.weight_pct, arm.release, tuple(arm.replicas), arm.mirror_pct)
