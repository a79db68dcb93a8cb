"""What the pages of monitoring show: endpoints with what they did over a span, put together with their releases.

Reads the database, as often for many endpoints as for one. Latencies of more than `MERGED_MAX` endpoints are not put
together on one page: then the figures of all say so, and the table has them for the endpoints of its page.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import OuterRef, QuerySet, Subquery

from deployments.delivery import DeliveryFigures, delivery
from deployments.lifecycle import RELEASE_LOOKS, ReleaseStatus
from deployments.models import Endpoint, Release
from monitoring.charts import Marker
from monitoring.history import Life, TrafficFigures, counted_traffic, span_traffic, version_points
from monitoring.points import Point
from monitoring.selectors import Summary, series_of_span
from monitoring.spans import Span

MERGED_MAX = 100
PAGE_SIZE = 50
NEWEST = Release.objects.filter(endpoint=OuterRef("pk"), started_at__isnull=False).order_by("-started_at")


@dataclass(frozen=True)
class EndpointRow:
    """An endpoint over a span; `last` is its newest release that began, whenever that was."""

    endpoint: Endpoint
    traffic: TrafficFigures
    last: Release | None

    @property
    def look(self) -> Any:
        return RELEASE_LOOKS[ReleaseStatus(self.last.status)] if self.last else None


type_Order = Callable[[EndpointRow], Any]
# What the table can be sorted by: key → head and what counts; what is most comes first, except for names.
ORDERS: dict[str, tuple[str, "type_Order"]] = {
    "endpoint": ("Endpoint", lambda row: ()),
    "rate": ("Requests/s", lambda row: -row.traffic.summary.rate),
    "errors": ("Errors", lambda row: -(row.traffic.summary.error_share or 0)),
    "p50": ("P50", lambda row: -(row.traffic.summary.p50 or 0)),
    "p95": ("P95", lambda row: -(row.traffic.summary.p95 or 0)),
    "p99": ("P99", lambda row: -(row.traffic.summary.p99 or 0)),
    "release": (
        "Last release",
        lambda row: -row.last.started_at.timestamp() if row.last and row.last.started_at else 0,
    ),
}


@dataclass(frozen=True)
class Together:
    """The traffic of all endpoints over a span; `why_no_latency` says why the quantiles are not known."""

    summary: Summary
    why_no_latency: str = ""


@dataclass(frozen=True)
class Monitored:
    """What the page of monitoring shows."""

    span: Span
    width_s: int
    page: Page[Any]
    rows: list[EndpointRow]
    together: Together
    delivery: DeliveryFigures
    sortable: bool


def monitored(endpoints: QuerySet[Endpoint], span: Span, now: datetime, *, order: str, page: Any) -> Monitored:
    """The endpoints over a span, by an order of `ORDERS`, and all of them together."""
    rows = with_last(endpoints)
    total = endpoints.count()
    if total > MERGED_MAX:
        shown: Any = Paginator(rows, PAGE_SIZE).get_page(page)
        found = span_traffic(_lives(list(shown.object_list)), span, now)
        made = _rows(list(shown.object_list), found.places)
        together = Together(_counted(endpoints, span, now), why_many(total))
    else:
        every = list(rows)
        found = span_traffic(_lives(every), span, now)
        made = sorted(_rows(every, found.places), key=ORDERS[order][1])
        shown = Paginator(made, PAGE_SIZE).get_page(page)
        made, together = list(shown.object_list), Together(found.together)
    (went,) = delivery(releases_of(endpoints), [span])
    return Monitored(found.span, found.width_s, shown, made, together, went, total <= MERGED_MAX)


def before(endpoints: QuerySet[Endpoint], span: Span, now: datetime) -> tuple[Together, DeliveryFigures]:
    """All endpoints over the span before: what the figures of this one are held against."""
    total = endpoints.count()
    if total > MERGED_MAX:
        together = Together(_counted(endpoints, span.before, now), why_many(total))
    else:
        together = Together(span_traffic(_lives(list(endpoints)), span.before, now).together)
    (went,) = delivery(releases_of(endpoints), [span.before])
    return together, went


def every_row(endpoints: QuerySet[Endpoint], span: Span, now: datetime) -> Iterator[EndpointRow]:
    """The rows of all endpoints, by page."""
    pages = Paginator(with_last(endpoints), PAGE_SIZE)
    for number in pages.page_range:
        of_page = list(pages.page(number).object_list)
        yield from _rows(of_page, span_traffic(_lives(of_page), span, now).places)


def why_many(total: int) -> str:
    return f"Latencies of {total} endpoints are not put together here; filter down to {MERGED_MAX}."


def with_last(endpoints: QuerySet[Endpoint]) -> QuerySet[Endpoint]:
    return endpoints.annotate(last_release=Subquery(NEWEST.values("pk")[:1]))


def releases_of(endpoints: QuerySet[Endpoint]) -> QuerySet[Release]:
    """The releases of endpoints, and no others."""
    return Release.objects.filter(endpoint__in=endpoints.order_by().values("pk"))


def _lives(endpoints: list[Endpoint]) -> dict[tuple[str, str], Life]:
    return {
        (endpoint.environment.name, endpoint.name): Life(endpoint.created_at, endpoint.retired_at)
        for endpoint in endpoints
    }


def _rows(endpoints: list[Endpoint], traffic: dict[tuple[str, str], TrafficFigures]) -> list[EndpointRow]:
    keys = [endpoint.last_release for endpoint in endpoints if endpoint.last_release]  # type: ignore[attr-defined]
    known = Release.objects.select_related("version").defer("version__manifest", "version__evidence").in_bulk(keys)
    return [
        EndpointRow(
            endpoint,
            traffic[endpoint.environment.name, endpoint.name],
            known.get(endpoint.last_release),  # type: ignore[attr-defined]
        )
        for endpoint in endpoints
    ]


def _counted(endpoints: QuerySet[Endpoint], span: Span, now: datetime) -> Summary:
    """Requests and errors of many endpoints, without latencies."""
    places = set(endpoints.order_by().values_list("environment__name", "name"))
    counts = counted_traffic({place[0] for place in places}, span, now)
    requests, errors = (sum(counts[place][at] for place in places & counts.keys()) for at in (0, 1))
    share = errors / requests if requests else None
    return Summary("all", requests, requests / max(1.0, span.seconds), errors, share, None, None, None)


def release_markers(endpoint: Endpoint, span: Span) -> list[tuple[Marker, Release]]:
    """When releases of the endpoint began, were promoted or were taken back within a span, in order."""
    releases = endpoint.releases.filter(started_at__lt=span.until).exclude(ended_at__lt=span.since)
    found = []
    for release in releases.select_related("version").defer("version__manifest", "version__evidence"):
        number, back = release.version.number, release.kind == "rollback"
        moments = [(release.started_at, f"back to {number}" if back else f"{number} begins")]
        if release.ended_at and not back:
            label = RELEASE_LOOKS[ReleaseStatus(release.status)].label.lower()
            moments.append((release.ended_at, f"{number} {label}"))
        for at, text in moments:
            if at is not None and span.since <= at < span.until:
                found.append((Marker(at.timestamp(), text), release))
    return sorted(found, key=lambda one: one[0].t)


def points_of_history(endpoint: Endpoint, span: Span, *, by_version: bool) -> list[Point]:
    """The points of an endpoint over a span."""
    read = version_points if by_version else series_of_span
    return read(endpoint.environment.name, endpoint.name, since=span.since, until=span.until)


def point_row(point: Point) -> dict[str, Any]:
    """A point as a row of CSV or an object of REST; times are in UTC."""
    return {
        "start": point.start.isoformat(),
        "seconds": point.seconds,
        "arm": point.arm,
        "version": point.version,
        "requests": point.requests,
        "errors": point.errors,
        "p50_ms": point.p50,
        "p95_ms": point.p95,
        "p99_ms": point.p99,
    }
