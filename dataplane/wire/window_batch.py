"""Batches of one-second windows, from gateway to site (docs/wire.md section 4)."""

from typing import Annotated

from msgspec import Meta, Struct

from dataplane.wire.histogram import Latency, count_over
from dataplane.wire.shapes import COUNT_MAX, Boot, Count, Name, Slos

BATCH_BODY_MAX_BYTES = 2 * 1024 * 1024
WINDOWS_MAX = 5000
WINDOW_COUNT_MAX = 1_000_000  # of one arm in one second and gateway; keeps every roll-up within 31 bits
RELEASE_MAX_CHARS = 36
DIFFERENCE_MAX = 1e24  # of a window; keeps sums finite
UNIT_BUCKETS = 64  # over which the units of an endpoint are spread for the judge

OUTCOMES = ("ok", "client_errors", "server_errors", "timeouts")
UNIT_OUTCOMES = ("requests", "errors", "client_errors")  # what a bucket of units begins with

WindowCount = Annotated[int, Meta(ge=0, le=WINDOW_COUNT_MAX)]
Difference = Annotated[float, Meta(ge=0, le=DIFFERENCE_MAX)]
Release = Annotated[str, Meta(pattern=r"^[ -~]+\Z", max_length=RELEASE_MAX_CHARS)]
VersionNumber = Annotated[str, Meta(pattern=r"^[0-9]{1,9}\Z")]
UnitBucket = Annotated[int, Meta(ge=0, lt=UNIT_BUCKETS)]


class UnitCounts(Struct, frozen=True):
    """Counts of a window by the evidence bucket of the requests' units; requests that named no unit are in none.

    Of each bucket: requests, errors (server errors and timeouts), client errors, and as many as were slower than each
    of `slos_ms`, by the same buckets of latency as the histogram's.
    """

    slos_ms: Slos
    buckets: dict[UnitBucket, list[WindowCount]]

    def check(self, window: "Window") -> None:
        """Raise ValueError unless each bucket is possible by itself, and all together are part of the window."""
        width = len(UNIT_OUTCOMES) + len(self.slos_ms)
        for counts in self.buckets.values():
            if len(counts) != width:
                raise ValueError(f"units: a bucket has {width} counts")
            requests, errors, client_errors, *over = counts
            if not requests or errors + client_errors > requests or any(slow > requests for slow in over):
                raise ValueError("units: a bucket counts more than its requests")
        if any(part > whole for part, whole in zip(self._sums(width), self._bounds(window), strict=True)):
            raise ValueError("units must not count more than the window")

    def _sums(self, width: int) -> list[int]:
        sums = [sum(counts[place] for counts in self.buckets.values()) for place in range(width)]
        return [*sums, sums[0] - sums[1] - sums[2]]

    def _bounds(self, window: "Window") -> list[int]:
        over = [count_over(window.latency.buckets, slo_ms) for slo_ms in self.slos_ms]
        failed = window.server_errors + window.timeouts
        return [window.requests - window.drawn, failed, window.client_errors, *over, window.ok]


class Window(Struct, frozen=True):
    """Counts of one arm of an endpoint in the second that begins at `start` (Unix time).

    `requests` is the sum of the four outcomes. `rejected` requests never reached a worker and are not among them;
    `drawn` ones had no unit. `compared` to `difference_max` are of a shadow arm's answers held against the clients'
    own. `units` is there while a release rolls out to the endpoint.
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
    units: UnitCounts | None = None

    def __post_init__(self) -> None:
        if self.requests != sum(getattr(self, name) for name in OUTCOMES):
            raise ValueError(f"requests must be the sum of {', '.join(OUTCOMES)}")
        if self.agreed > self.compared:
            raise ValueError("agreed must not be more than compared")
        self.latency.check(self.requests)
        if self.units is not None:
            self.units.check(self)


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
