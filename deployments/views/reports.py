"""Pages of reports: the list, one, two side by side, and on paper."""

from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from deployments import selectors, services
from deployments.filters import ReportFilter
from deployments.lifecycle import RELEASE_LOOKS, ReleaseStatus
from deployments.models import Release, Report
from deployments.reports.period_report import PeriodWish, figure_lines, period_document, period_wish, why_not_whole
from deployments.reports.report_charts import charts_of, laid_over
from deployments.reports.report_comparison import compared
from deployments.reports.report_page import report_context
from deployments.reports.report_printing import print_page
from deployments.reports.report_selectors import pdf_made, pdf_of, report_for, report_pair, reports_visible_to
from deployments.views.monitoring import picked
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Invalid, NotFound
from mlorch_site.lib.htmx import redirect_to, render_page
from mlorch_site.lib.lists import listed
from mlorch_site.lib.spreadsheet import csv_lines
from monitoring.spans import read_span
from registry.selectors import environments_visible_to, models_visible_to

REPORT_COLUMNS = [
    *("report", "kind", "created_at", "model", "version", "environment", "endpoint", "outcome", "because"),
    *("requester", "requested_at", "started_at", "ended_at", "digest"),
]
MODELS_OFFERED = 200
SECOND_COLOUR = 2  # lines of the second report begin with another colour


@requires(Action.VIEW)
def reports(request: HttpRequest) -> HttpResponse:
    """List reports; filters are in the address."""
    context = listed(request, reports_visible_to(actor_of(request)).defer("document"), ReportFilter)
    context |= {"rows": [(row, _look(row)) for row in context["page"]], "others": _others(request)}
    return render_page(request, "deployments/reports.html", "deployments/_reports.html", context)


def _look(report: Report) -> Any:
    return RELEASE_LOOKS[ReleaseStatus(report.release.status)] if report.release else None


def _others(request: HttpRequest) -> str:
    """What the address is filtered by, without the page."""
    query = request.GET.copy()
    query.pop("page", None)
    return query.urlencode()


@requires(Action.VIEW)
def reports_csv(request: HttpRequest) -> StreamingHttpResponse:
    """Give the list of reports as CSV, filtered like the page."""
    chosen = ReportFilter(
        request.GET, queryset=reports_visible_to(actor_of(request)).defer("document"), request=request
    )
    headers = {"Content-Disposition": 'attachment; filename="reports.csv"'}
    lines = csv_lines(REPORT_COLUMNS, _csv_rows(chosen.qs))
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)


def _csv_rows(rows: QuerySet[Report]) -> Iterator[dict[str, Any]]:
    for row in rows.iterator(chunk_size=500):
        release = row.release
        yield {
            "report": row.pk,
            "kind": row.kind,
            "created_at": row.created_at.isoformat(),
            "model": release.version.model.name if release else row.model,
            "version": release.version.number if release else None,
            "environment": release.endpoint.environment.name if release else row.environment,
            "endpoint": release.endpoint.name if release else None,
            "outcome": release.status if release else None,
            "because": release.status_reason if release else None,
            "requester": release.requester.username if release else row.created_by,
            "requested_at": release.created_at.isoformat() if release else None,
            "started_at": release.started_at.isoformat() if release and release.started_at else None,
            "ended_at": release.ended_at.isoformat() if release and release.ended_at else None,
            "digest": row.digest,
        }


@requires(Action.VIEW)
def release_report(request: HttpRequest, pk: str) -> HttpResponse:
    """Show the report of an ended release."""
    found: Release = selectors.release_for(actor_of(request), pk)
    report = getattr(found, "report", None)
    if report is None:
        raise NotFound("The report is written when the release has ended.")
    context = {"release": found, "pdf": pdf_of(report), **report_context(report)}
    return render_page(request, "deployments/report.html", "deployments/_report_pdf.html", context)


@requires(Action.VIEW)
def report(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the report of a period; lead to the page of one of a release."""
    found = report_for(actor_of(request), pk)
    if found.release_id:
        return redirect_to(request, _address(found))
    context = {"pdf": pdf_of(found), **report_context(found)}
    return render_page(request, "deployments/period_report.html", "deployments/_report_pdf.html", context)


def _address(found: Report) -> str:
    if found.release_id:
        return reverse("release-report", args=[found.release_id])
    return reverse("report", args=[found.pk])


@requires(Action.VIEW)
def period(request: HttpRequest) -> HttpResponse:
    """Show how a period went; a POST freezes it as a report."""
    actor, pick = actor_of(request), picked(request)
    wish = period_wish(actor, request.GET, pick.span)
    if request.method == "POST":
        try:
            frozen = services.period_report_freeze(actor=actor, wish=wish)
        except Invalid as error:
            messages.error(request, error.message)
            return redirect_to(request, request.get_full_path())
        return redirect_to(request, _address(frozen))
    context = {
        "pick": pick,
        "others": {name: request.GET[name] for name in ("environment", "model") if request.GET.get(name)},
        "environments": environments_visible_to(actor).values_list("name", flat=True),
        "models": models_visible_to(actor).order_by("name").values_list("name", flat=True)[:MODELS_OFFERED],
        "wish": wish,
        "document": period_document(actor, wish),
        "why_not_freeze": _why_not_freeze(actor, wish),
    }
    return render(request, "deployments/period.html", context, status=422 if pick.problem else 200)


def _why_not_freeze(actor: Actor, wish: PeriodWish) -> str:
    """Why this person cannot keep the report of a period, empty when it can."""
    if not actor.may_anywhere(Action.AUDIT_VIEW):
        return actor.why_not(Action.AUDIT_VIEW)
    return why_not_whole(actor, wish)


@requires(Action.VIEW)
def period_csv(request: HttpRequest) -> StreamingHttpResponse:
    """Give the figures of a period as CSV. Raises Invalid for what names no span."""
    actor = actor_of(request)
    span = read_span(request.GET, zone=timezone.get_current_timezone(), now=clock.now())
    rows = figure_lines(period_document(actor, period_wish(actor, request.GET, span)))
    headers = {"Content-Disposition": 'attachment; filename="period.csv"'}
    lines = csv_lines(["figure", "value", "n"], rows)
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)


@requires(Action.VIEW)
def report_print(request: HttpRequest, pk: int) -> HttpResponse:
    """The report as a page for paper."""
    return HttpResponse(print_page(report_for(actor_of(request), pk), is_pdf=False))


@requires(Action.VIEW)
def report_pdf(request: HttpRequest, pk: int) -> HttpResponse:
    """The report as PDF/UA: asked for by POST, and given when it is made."""
    found = report_for(actor_of(request), pk)
    if request.method == "POST":
        services.report_pdf_want(actor=actor_of(request), report=found)
        return redirect_to(request, _address(found))
    headers = {"Content-Disposition": f'attachment; filename="report-{found.pk}.pdf"'}
    return HttpResponse(pdf_made(found), content_type="application/pdf", headers=headers)


@requires(Action.VIEW)
def reports_compare(request: HttpRequest) -> HttpResponse:
    """Show two reports of releases side by side; the address names both."""
    one, other = report_pair(actor_of(request), request.GET)
    context = {
        "one": one,
        "other": other,
        "rows": compared(one.document, other.document),
        "charts": laid_over(charts_of(one.document, "1:"), charts_of(other.document, "2:", SECOND_COLOUR)),
    }
    return render(request, "deployments/reports_compare.html", context)
