"""Pages of monitoring: all endpoints over a span, and the history of one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from deployments import selectors
from deployments.delivery import DEFINITIONS
from deployments.filters import MonitoringFilter
from deployments.models import Endpoint
from deployments.traffic_history import (
    ORDERS,
    before,
    every_row,
    monitored,
    point_row,
    points_of_history,
    release_markers,
)
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Invalid
from mlorch_site.lib.spreadsheet import csv_lines
from monitoring.charts import COMPARED_MAX, Marks, clustered, finished, history_panels
from monitoring.history import version_name, version_traffic
from monitoring.points import Point
from monitoring.selectors import last_request_at
from monitoring.spans import DEFAULT_RANGE, RANGES, Span, read_span

COLUMNS = [
    *("environment", "endpoint", "model", "owner", "from", "to", "observed_s", "requests", "requests_per_s"),
    *("error_share", "p50_ms", "p95_ms", "p99_ms", "versions", "last_release", "last_release_status"),
]
POINT_COLUMNS = ["start", "seconds", "arm", "version", "requests", "errors", "p50_ms", "p95_ms", "p99_ms"]


@dataclass(frozen=True)
class Picked:
    """What the picker of a range shows. `problem` says why an address named no span."""

    span: Span
    problem: str = ""

    @property
    def ranges(self) -> list[tuple[str, str]]:
        return [(key, label) for key, (label, _) in RANGES.items()]


def picked(request: HttpRequest) -> Picked:
    """The span of the address, the default one where it names none that is understood."""
    zone, now = timezone.get_current_timezone(), clock.now()
    try:
        return Picked(read_span(request.GET, zone=zone, now=now))
    except Invalid as error:
        return Picked(read_span({"range": DEFAULT_RANGE}, zone=zone, now=now), error.message)


@requires(Action.VIEW)
def monitoring(request: HttpRequest) -> HttpResponse:
    """Show all endpoints over a span; span, filters and order are in the address."""
    now, pick = clock.now(), picked(request)
    chosen = _filtered(request)
    order = request.GET.get("order", "endpoint")
    seen = monitored(
        chosen.qs,
        pick.span,
        now,
        order=order if order in ORDERS else "endpoint",
        page=request.GET.get("page"),
    )
    others = request.GET.copy()
    for name in ("range", "from", "to", "page"):
        others.pop(name, None)
    context = {
        "pick": pick,
        "seen": seen,
        "page": seen.page,
        "orders": [(key, label) for key, (label, _) in ORDERS.items()],
        "order": order,
        "others": others,
        "definitions": DEFINITIONS,
        "filters": chosen.form,
        "filtered": any(request.GET.get(name) for name in ("q", "environment", "model", "owner", "state")),
    }
    return render(request, "deployments/monitoring.html", context, status=422 if pick.problem else 200)


@requires(Action.VIEW)
def monitoring_before(request: HttpRequest) -> HttpResponse:
    """Show the figures of the span before, for a page of monitoring to hold its own against."""
    pick = picked(request)
    together, went = before(_filtered(request).qs, pick.span, clock.now())
    context = {"together": together, "went": went, "span": pick.span.before}
    return render(request, "deployments/_monitoring_before.html", context)


@requires(Action.VIEW)
def monitoring_csv(request: HttpRequest) -> StreamingHttpResponse:
    """Give the table of all endpoints over a span as CSV. Raises Invalid for what names no span."""
    now = clock.now()
    span = read_span(request.GET, zone=timezone.get_current_timezone(), now=now)
    lines = csv_lines(COLUMNS, _csv_rows(_filtered(request).qs, span))
    return _csv(lines, "endpoints.csv")


@requires(Action.VIEW)
def endpoint_history(request: HttpRequest, environment: str, name: str) -> HttpResponse:
    """Show what one endpoint did over a span: by arm, or by version."""
    found = selectors.endpoint_for(actor_of(request), environment, name)
    pick, by_version = picked(request), request.GET.get("by") == "version"
    versions = version_traffic((environment, name), pick.span, clock.now())
    points = points_of_history(found, pick.span, by_version=by_version)
    numbers = [one.versions[0] for one in versions]
    compared = chosen_versions(request, numbers)
    panels = history_panels([version_name(number) for number in compared] if by_version else None)
    events = release_markers(found, pick.span)
    context = {
        "endpoint": found,
        "pick": pick,
        "by_version": by_version,
        "compared": compared,
        "numbers": numbers,
        "compared_max": COMPARED_MAX,
        "versions": versions,
        "events": events,
        "charts": panels,
        "points": finished(points, pick.span.since, pick.span.until, panels),
        "marks": Marks(clustered([marker for marker, _ in events], pick.span.seconds)),
        "silent_since": silent_since(found, points, pick.span),
        "others": {"by": "version", "version": ",".join(map(str, compared))} if by_version else {},
        "address": reverse("endpoint-history", args=[environment, name]),
    }
    return render(request, "deployments/endpoint_history.html", context, status=422 if pick.problem else 200)


@requires(Action.VIEW)
def endpoint_history_csv(request: HttpRequest, environment: str, name: str) -> StreamingHttpResponse:
    """Give the points of an endpoint's history as CSV. Raises Invalid for what names no span."""
    found = selectors.endpoint_for(actor_of(request), environment, name)
    span = read_span(request.GET, zone=timezone.get_current_timezone(), now=clock.now())
    points = points_of_history(found, span, by_version=request.GET.get("by") == "version")
    return _csv(csv_lines(POINT_COLUMNS, map(point_row, points)), f"{environment}-{name}.csv")


def chosen_versions(request: HttpRequest, known: list[int]) -> list[int]:
    """Those of the `known` versions, newest first, whose lines are compared: the ones that `version` of the address
    names, separated by commas or said again and again; without any that is known the newest. At most `COMPARED_MAX`.
    """
    wanted = {number for said in request.GET.getlist("version") for number in said.split(",")}
    return ([number for number in known if str(number) in wanted] or known)[:COMPARED_MAX]


def silent_since(endpoint: Endpoint, points: list[Point], span: Span) -> Any:
    """When a client last asked, where that is not said by the newest point: None as long as somebody asks."""
    if points and (span.until - points[-1].start).total_seconds() <= 3 * points[-1].seconds:
        return None
    return last_request_at(endpoint.environment.name, endpoint.name)


def _filtered(request: HttpRequest) -> MonitoringFilter:
    endpoints = selectors.endpoints_visible_to(actor_of(request)).select_related(None)
    return MonitoringFilter(request.GET, queryset=endpoints.select_related("environment", "model"), request=request)


def _csv_rows(endpoints: Any, span: Span) -> Iterator[dict[str, Any]]:
    for row in every_row(endpoints, span, clock.now()):
        summary = row.traffic.summary
        yield {
            "environment": row.endpoint.environment.name,
            "endpoint": row.endpoint.name,
            "model": row.endpoint.model.name,
            "owner": row.endpoint.model.owner,
            "from": span.since.isoformat(),
            "to": span.until.isoformat(),
            "observed_s": round(row.traffic.observed_s),
            "requests": summary.requests,
            "requests_per_s": round(summary.rate, 6),
            "error_share": summary.error_share,
            "p50_ms": summary.p50,
            "p95_ms": summary.p95,
            "p99_ms": summary.p99,
            "versions": " ".join(map(str, row.traffic.versions)),
            "last_release": row.last.pk if row.last else None,
            "last_release_status": row.last.status if row.last else None,
        }


def _csv(lines: Iterator[str], name: str) -> StreamingHttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)
