"""Batches of one-second windows, from gateway to site (docs/wire.md section 4)."""

from typing import Annotated

from msgspec import Meta, Struct

from dataplane.wire.histogram import Latency
from dataplane.wire.shapes import COUNT_MAX, Boot, Count, Name

BATCH_BODY_MAX_BYTES = 2 * 1024 * 1024
WINDOWS_MAX = 5000
WINDOW_COUNT_MAX = 1_000_000  # of one arm in one second and gateway; keeps every roll-up within 31 bits
RELEASE_MAX_CHARS = 36
DIFFERENCE_MAX = 1e24  # of a window; keeps sums finite
UNIT_BUCKETS = 64  # over which the units of an endpoint are spread for the judge

OUTCOMES = ("ok", "client_errors", "server_errors", "timeouts")

WindowCount = Annotated[int, Meta(ge=0, le=WINDOW_COUNT_MAX)]
Difference = Annotated[float, Meta(ge=0, le=DIFFERENCE_MAX)]
Release = Annotated[str, Meta(pattern=r"^[ -~]+\Z", max_length=RELEASE_MAX_CHARS)]
VersionNumber = Annotated[str, Meta(pattern=r"^[0-9]{1,9}\Z")]


class Window(Struct, frozen=True):
    """Counts of one arm of an endpoint in the second that begins at `start` (Unix time).

    `requests` is the sum of the four outcomes. `rejected` requests never reached a worker and are not among them;
    `drawn` ones had no unit. `compared` to `difference_max` are of a shadow arm's answers held against the clients'
    own.
    """

    environment: Name
    endpoint: Name
    arm: Name
    version: VersionNumber
    release: Release
    start: Count
    requests: WindowCount
    latency: Latency
    seconds: Annotated[int, Meta(ge=1, le=1)] = 1
    ok: WindowCount = 0
    client_errors: WindowCount = 0
    server_errors: WindowCount = 0
    timeouts: WindowCount = 0
    rejected: WindowCount = 0
    drawn: WindowCount = 0
    compared: WindowCount = 0
    agreed: WindowCount = 0
    difference_sum: Difference = 0.0
    difference_max: Difference = 0.0

    def __post_init__(self) -> None:
        if self.requests != sum(getattr(self, name) for name in OUTCOMES):
            raise ValueError(f"requests must be the sum of {', '.join(OUTCOMES)}")
        if self.agreed > self.compared:
            raise ValueError("agreed must not be more than compared")
        self.latency.check(self.requests)


class WindowBatch(Struct, frozen=True):
    """`sequence` counts the batches of a boot from 1. With `gap` an earlier one is lost for good."""

    boot: Boot
    sequence: Annotated[int, Meta(ge=1, le=COUNT_MAX)]
    windows: Annotated[list[Window], Meta(max_length=WINDOWS_MAX)]
    dropped_windows: Count = 0
    gap: bool = False


class Accepted(Struct, frozen=True):
    """The batch up to which the site has all."""

    accepted: Count


class Expected(Struct, frozen=True):
    """The batch that the site misses."""

    expected: Count
