"""One-second windows per arm: counts and latency (docs/wire.md section 4)."""

from collections.abc import Callable
from typing import NamedTuple

from dataplane.gateway.core.compiled_table import UnitBasis
from dataplane.wire.histogram import Histogram, place_of
from dataplane.wire.window_batch import DIFFERENCE_MAX, OUTCOMES, UNIT_OUTCOMES, UnitCounts, Window

UNIT_PLACE = {"client_errors": 2, "server_errors": 1, "timeouts": 1}  # of an outcome among a bucket's counts


class WindowKey(NamedTuple):
    """What a window is about."""

    environment: str
    endpoint: str
    arm: str
    version: str
    release: str


class OpenWindow:
    """Counts of one arm in one second."""

    __slots__ = (
        "_basis",
        "_units",
        "agreed",
        "compared",
        "counts",
        "difference_max",
        "difference_sum",
        "drawn",
        "latency",
        "rejected",
    )

    def __init__(self) -> None:
        self.counts = dict.fromkeys(OUTCOMES, 0)
        self.rejected = 0
        self.drawn = 0
        self.latency = Histogram()
        self.compared = self.agreed = 0
        self.difference_sum = self.difference_max = 0.0
        self._basis: UnitBasis | None = None
        self._units: dict[int, list[int]] = {}

    def add_unit(self, bucket: int, basis: UnitBasis, outcome: str, latency_ms: float) -> None:
        """Count a request in the bucket of its unit. Of a second in which the basis changes, what is counted on the
        newer one stays: buckets of two salts are not the same units.
        """
        if basis is not self._basis:
            if basis != self._basis:
                self._units = {}
            self._basis = basis
        counts = self._units.get(bucket)
        if counts is None:
            counts = self._units[bucket] = [0] * (len(UNIT_OUTCOMES) + len(basis.limits))
        counts[0] += 1
        if outcome != "ok":
            counts[UNIT_PLACE[outcome]] += 1
        if basis.limits:
            place = place_of(latency_ms)
            for index, limit in enumerate(basis.limits, len(UNIT_OUTCOMES)):
                counts[index] += place > limit

    def _unit_counts(self) -> UnitCounts | None:
        return UnitCounts(list(self._basis.slos_ms), self._units) if self._basis is not None else None

    def closed(self, key: WindowKey, start: int) -> Window:
        """The window as it is sent; `start` is the Unix time of its second."""
        return Window(
            **key._asdict(),
            ok=self.counts["ok"],
            client_errors=self.counts["client_errors"],
            server_errors=self.counts["server_errors"],
            timeouts=self.counts["timeouts"],
            start=start,
            requests=sum(self.counts.values()),
            latency=self.latency.latency(),
            rejected=self.rejected,
            drawn=self.drawn,
            compared=self.compared,
            agreed=self.agreed,
            difference_sum=min(self.difference_sum, DIFFERENCE_MAX),
            difference_max=self.difference_max,
            units=self._unit_counts(),
        )


class Windows:
    """The windows that are still open or not yet taken. `clock` gives Unix time in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._open: dict[tuple[int, WindowKey], OpenWindow] = {}

    def _window(self, key: WindowKey) -> OpenWindow:
        place = (int(self._clock()), key)
        window = self._open.get(place)
        if window is None:
            window = self._open[place] = OpenWindow()
        return window

    def record(
        self,
        key: WindowKey,
        outcome: str,
        latency_ms: float,
        drawn: bool,
        bucket: int | None = None,
        basis: UnitBasis | None = None,
    ) -> None:
        """Count one answered request; `outcome` is one of `OUTCOMES`, `bucket` the evidence bucket of its unit."""
        window = self._window(key)
        window.counts[outcome] += 1
        window.drawn += drawn
        window.latency.add(latency_ms)
        if basis is not None and bucket is not None:
            window.add_unit(bucket, basis, outcome, latency_ms)

    def compare(self, key: WindowKey, is_agreed: bool, difference_sum: float, difference_max: float) -> None:
        """Count one answer of a shadow arm that was compared with the client's, in the second in which that was
        done.
        """
        window = self._window(key)
        window.compared += 1
        window.agreed += is_agreed
        window.difference_sum += difference_sum
        window.difference_max = max(window.difference_max, difference_max)

    def reject(self, key: WindowKey) -> None:
        """Count one request that was turned away before any worker was asked."""
        self._window(key).rejected += 1

    def take(self, *, everything: bool = False) -> list[Window]:
        """And forget the windows of past seconds; with `everything` also the open one."""
        now = int(self._clock())
        done = [place for place in self._open if everything or place[0] < now]
        return [self._open.pop(place).closed(place[1], place[0]) for place in sorted(done)]
