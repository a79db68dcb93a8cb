"""The route table of an environment: what its gateways obey (docs/wire.md section 2)."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from dataplane.wire.shapes import (
    REVISION_MAX,
    Digest,
    HeaderName,
    HeaderText,
    Name,
    Percent,
    Positive,
    Slos,
    UnixAddress,
)

FORMAT = 1
STABLE = "stable"
TARGETED = "targeted"  # the arm under which windows count requests that were chosen, not drawn
TARGET_HEADERS_MAX = 5
TARGET_VALUES_MAX = 50  # of one header
TARGET_UNITS_MAX = 1000

Share = Annotated[float, Meta(ge=0, le=100)]
_HEADERS = Meta(max_length=TARGET_HEADERS_MAX)


class ClientKey(Struct, frozen=True):
    """A key of model clients: `digest` is the SHA-256 of the whole key in hexadecimal, `expires_at` Unix time or None
    for never.
    """

    prefix: HeaderText
    digest: HeaderText
    endpoints: list[str]
    expires_at: float | None = None


class ReplicaAddress(Struct, frozen=True):
    """One replica and the unix socket of its worker."""

    id: HeaderText
    address: UnixAddress

    @property
    def socket(self) -> str:
        """The path of the socket."""
        return self.address.removeprefix("unix:")


class Arm(Struct, frozen=True, omit_defaults=True):
    """A version's share of an endpoint's traffic.

    `mirror_pct` of the counted requests are sent to it too, after the answer.
    """

    arm: Name
    version: HeaderText
    weight_pct: Percent
    release: HeaderText
    replicas: list[ReplicaAddress]
    mirror_pct: Percent = 0


class RequestLogging(Struct, frozen=True):
    """Which share of the requests is logged, and the columns whose values are not."""

    share_pct: Share = 0.0
    redacted: list[str] = []


class Targets(Struct, frozen=True):
    """Which requests go to `arm` whatever its weight: those with one of the values in one of `headers`, and those of a
    unit whose SHA-256 of `salt:unit` in hexadecimal is among `units`. No unit itself is told to a gateway.
    """

    arm: Name
    headers: Annotated[dict[HeaderName, Annotated[list[HeaderText], Meta(max_length=TARGET_VALUES_MAX)]], _HEADERS] = {}
    salt: HeaderText = ""
    units: Annotated[list[Digest], Meta(max_length=TARGET_UNITS_MAX)] = []


class Endpoint(Struct, frozen=True):
    """An endpoint with its limits, as its serving config froze them.

    `slos_ms` are the latency objectives of the release that rolls out, none while none does: slow requests are counted
    against them per unit bucket. `targets` is left out while no requests are chosen.
    """

    release: HeaderText
    salt: HeaderText
    arms: list[Arm]
    timeout_ms: Positive = 10_000
    max_body_bytes: Positive = 8 * 1024 * 1024
    max_in_flight: Positive = 256
    max_batch_rows: Positive = 64
    max_batch_delay_ms: Positive = 5
    retry_on_stable: bool = False
    log: RequestLogging = RequestLogging()
    slos_ms: Slos = []
    targets: Targets | UnsetType = UNSET

    def problem(self) -> str:
        """Why the arms cannot serve together, an empty text when they can."""
        names = [arm.arm for arm in self.arms]
        if not names:
            return "there is no arm"
        if len(set(names)) != len(names):
            return "an arm is named twice"
        if (total := sum(arm.weight_pct for arm in self.arms)) != 100:
            return f"the weights sum to {total}"
        idle = next((arm.arm for arm in self.arms if arm.weight_pct and not arm.replicas), "")
        if idle:
            return f"the {idle} arm has weight and no replica"
        if self.targets is not UNSET and not any(arm.arm == self.targets.arm and arm.replicas for arm in self.arms):
            return f"the targeted {self.targets.arm} arm has no replica"
        return ""


class RouteTable(Struct, frozen=True):
    """One revision of an environment's routes."""

    format: Annotated[int, Meta(ge=FORMAT, le=FORMAT)]
    environment: Name
    revision: Annotated[int, Meta(ge=1, le=REVISION_MAX)]
    keys: list[ClientKey]
    endpoints: dict[Name, Endpoint]

    def __post_init__(self) -> None:
        for name, endpoint in self.endpoints.items():
            if problem := endpoint.problem():
                raise ValueError(f"{name}: {problem}")
