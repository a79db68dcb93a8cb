"""What endpoints did over any span: read from roll-ups, as often for many endpoints as for one.

Endpoints are named by environment and name; whether somebody may see them is the caller's question.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import msgspec
from django.db.models import Sum, TextField
from django.db.models.functions import Cast

from dataplane.wire.histogram import Histogram, Latency
from monitoring.models import KEPT
from monitoring.points import Point
from monitoring.selectors import QUANTILES, SERIES_ROWS_MAX, SHADOW, Summary, point_width, points_of, rolled_up
from monitoring.spans import Span

WINDOWS_MIN = 30  # a sum over a span is read from the widest roll-ups of which the span has that many

K = TypeVar("K", bound=Hashable)
type_Place = tuple[str, str]


class Life(NamedTuple):
    """When an endpoint was made, and since when it serves nothing any more."""

    born: datetime
    ended: datetime | None = None

    def seconds_in(self, span: Span, now: datetime) -> float:
        """For how long of a span it was there to be asked, at least a second."""
        ends = [moment for moment in (span.until, now, self.ended) if moment]
        return max(1.0, (min(ends) - max(span.since, self.born)).total_seconds())


class _Row(NamedTuple):
    environment: str
    endpoint: str
    version: int
    start: datetime
    requests: int
    server_errors: int
    timeouts: int
    latency: str


@dataclass
class _Tally:
    """What is summed up of windows; `by_start` are the requests of each, by the second at which it begins."""

    requests: int = 0
    errors: int = 0
    histogram: Histogram = field(default_factory=Histogram)
    versions: set[int] = field(default_factory=set)
    by_start: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, row: _Row, width: int, latency: Latency) -> None:
        self.requests += row.requests
        self.errors += row.server_errors + row.timeouts
        self.versions.add(row.version)
        # What is not rolled up yet comes as seconds.
        self.by_start[int(row.start.timestamp()) // width * width] += row.requests
        self.histogram.merge(latency)

    def summary(self, name: str, seconds: float) -> Summary:
        share = self.errors / self.requests if self.requests else None
        quantiles = dict(zip(QUANTILES, self.histogram.quantiles(list(QUANTILES.values())), strict=True))
        return Summary(name, self.requests, self.requests / seconds, self.errors, share, **quantiles)


@dataclass(frozen=True)
class TrafficFigures:
    """What clients asked over a span, without copies. `observed_s` is what the rate is divided by.

    `rates` are requests per second by window, in order: 0 where nobody asked, None where it was not there.
    """

    summary: Summary
    observed_s: float
    versions: list[int]
    rates: list[float | None]


@dataclass(frozen=True)
class SpanTraffic:
    """The traffic of several endpoints over the span that their windows cover, and of all of them together."""

    span: Span
    width_s: int
    places: dict[type_Place, TrafficFigures]
    together: Summary


def total_width(span: Span, now: datetime) -> int:
    """The width in seconds of the roll-ups in which a span is summed up: few of them, and still kept."""
    kept = [width for width, time in KEPT.items() if width > 1 and now - span.since < time]
    return max((width for width in kept if span.seconds >= width * WINDOWS_MIN), default=min(kept, default=max(KEPT)))


def span_traffic(lives: Mapping[type_Place, Life], span: Span, now: datetime) -> SpanTraffic:
    """The traffic of each of these endpoints over a span, in one query however many there are."""
    width = total_width(span, now)
    covered = span.aligned(width)
    tallies = _tallied(_rows(lives, covered, width), width, lambda row: (row.environment, row.endpoint))
    together = _Tally()
    for tally in tallies.values():
        together.requests += tally.requests
        together.errors += tally.errors
        together.histogram.merge(tally.histogram)
    observed = {place: life.seconds_in(covered, now) for place, life in lives.items()}
    places = {
        place: TrafficFigures(
            tally.summary("all", observed[place]),
            observed[place],
            sorted(tally.versions),
            _rates(tally, life, covered, width, now),
        )
        for place, life in lives.items()
        for tally in [tallies.get(place, _Tally())]
    }
    return SpanTraffic(covered, width, places, together.summary("all", max(observed.values(), default=1.0)))


def version_traffic(place: type_Place, span: Span, now: datetime) -> list[TrafficFigures]:
    """The traffic of each version of an endpoint over a span, the newest first. A version's rate is over the windows in
    which it was asked: it is not there all the time.
    """
    width = total_width(span, now)
    tallies = _tallied(_rows([place], span.aligned(width), width), width, lambda row: row.version)
    return [
        TrafficFigures(tally.summary(version_name(version), seconds), seconds, [version], [])
        for version, tally in sorted(tallies.items(), reverse=True)
        for seconds in [float(width * len(tally.by_start))]
    ]


def counted_traffic(environments: Iterable[str], span: Span, now: datetime) -> dict[type_Place, tuple[int, int]]:
    """Requests and errors of every endpoint of these environments over a span, without latencies: for more endpoints
    than histograms are merged of.
    """
    width = total_width(span, now)
    covered = span.aligned(width)
    rows = rolled_up(width, covered.since).filter(start__lt=covered.until, environment__in=set(environments))
    sums = (
        rows.exclude(arm=SHADOW)
        .values_list("environment", "endpoint")
        .annotate(Sum("requests"), Sum("server_errors"), Sum("timeouts"))
    )
    return {(place, name): (requests, server + late) for place, name, requests, server, late in sums.order_by()}


def version_name(version: int) -> str:
    """What stands for an arm where versions are compared."""
    return f"version {version}"


def version_points(environment: str, endpoint: str, *, since: datetime, until: datetime) -> list[Point]:
    """The points of each version over a span, whichever arms it had; `arm` is the version's name."""
    seconds = point_width(since, until)
    rows = rolled_up(seconds, since).filter(environment=environment, endpoint=endpoint, start__lt=until)
    windows = list(rows.exclude(arm=SHADOW).order_by("-start", "-id")[:SERIES_ROWS_MAX])
    for window in windows:
        window.arm = version_name(window.version)
    return points_of(windows, seconds)


def _rows(places: Iterable[type_Place], covered: Span, width: int) -> list[_Row]:
    wanted = set(places)
    rows = rolled_up(width, covered.since).filter(
        start__lt=covered.until,
        environment__in={place[0] for place in wanted},
        endpoint__in={place[1] for place in wanted},
    )
    # As text: each histogram is decoded once, straight into its shape.
    found = rows.exclude(arm=SHADOW).annotate(text=Cast("latency", TextField()))
    names = ("environment", "endpoint", "version", "start", "requests", "server_errors", "timeouts", "text")
    return [row for row in map(_Row._make, found.values_list(*names).order_by("start")) if row[:2] in wanted]


def _tallied(rows: Iterable[_Row], width: int, key: Callable[[_Row], K]) -> dict[K, _Tally]:
    decode: Any = msgspec.json.Decoder(Latency).decode
    tallies: dict[K, _Tally] = defaultdict(_Tally)
    for row in rows:
        tallies[key(row)].add(row, width, decode(row.latency))
    return tallies


def _rates(tally: _Tally, life: Life, covered: Span, width: int, now: datetime) -> list[float | None]:
    """The last window is divided by what is over of it, like the first one of a young endpoint by what it saw."""
    born, over = life.born.timestamp(), min(covered.until, life.ended or now, now).timestamp()
    rates: list[float | None] = []
    for start in range(int(covered.since.timestamp()), int(min(covered.until, now).timestamp()), width):
        seen_s = min(start + width, over) - max(start, born)
        rates.append(tally.by_start.get(start, 0) / max(1.0, seen_s) if seen_s > 0 else None)
    return rates
