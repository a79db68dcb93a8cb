"""Pages of drift: the features of an endpoint over a span, and one of them with both histograms."""

from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from deployments import selectors
from deployments.models import Endpoint
from deployments.services.watching import watched, watched_in_use
from deployments.views.monitoring import picked
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib import clock
from mlorch_site.lib.errors import NotFound
from mlorch_site.lib.htmx import redirect_to
from mlorch_site.lib.spreadsheet import csv_lines
from monitoring.alerts.lifecycle import AlertLook
from monitoring.drift.feature_drift import DriftWord
from monitoring.drift_selectors import DriftRow, DriftTable, drift_table
from monitoring.models import DriftReference
from monitoring.services import drift_reference_learn
from monitoring.services.drift import LEARNED_MIN
from monitoring.spans import Span, read_span
from registry.models import Version

DRIFT_LOOKS = {
    DriftWord.NONE: AlertLook("None", "green", "circle-check"),
    DriftWord.MODERATE: AlertLook("Moderate", "yellow", "alert-triangle"),
    DriftWord.LARGE: AlertLook("Large", "red", "alert-triangle"),
    DriftWord.TOO_FEW: AlertLook("Too few to say", "secondary", "help"),
}
COLUMNS = [
    *("part", "version", "feature", "kind", "word", "values", "requests", "missing_share", "unseen_share"),
    *("wrong_share", "psi", "psi_by_chance", "sentence"),
]


@requires(Action.VIEW)
def endpoint_drift(request: HttpRequest, environment: str, name: str) -> HttpResponse:
    """Show the inputs of each version that has a reference, and the predictions, against their references."""
    actor = actor_of(request)
    endpoint = selectors.endpoint_for(actor, environment, name)
    pick = picked(request)
    why_not = actor.why_not(Action.OBJECTIVE_EDIT, endpoint.scopes)
    if not why_not and endpoint.retired_at is not None:
        why_not = "The endpoint is retired."
    context = {
        "endpoint": endpoint,
        "pick": pick,
        "others": {},
        "tables": [(version, _title(version), table, _shown(table)) for version, table in _tables(endpoint, pick.span)],
        "learned_min": LEARNED_MIN,
        "why_not": why_not,
    }
    return render(request, "deployments/drift.html", context, status=422 if pick.problem else 200)


@requires(Action.VIEW)
def endpoint_drift_feature(request: HttpRequest, environment: str, name: str, version: int) -> HttpResponse:
    """Show one feature (`name` in the query) with both histograms and every distance. Version 0 is the predictions."""
    endpoint = selectors.endpoint_for(actor_of(request), environment, name)
    pick = picked(request)
    table = drift_table(watched(endpoint), version, since=pick.span.since, until=pick.span.until)
    wanted = request.GET.get("name", "")
    row = next((row for row in table.rows if row.drift.name == wanted), None)
    if row is None:
        raise NotFound("There is no such feature in the reference.")
    top = max([share for _, *shares in row.bins for share in shares] or [1.0]) or 1.0
    context = {
        "endpoint": endpoint,
        "pick": pick,
        "others": {"name": wanted},
        "version": version,
        "table": table,
        "row": row,
        "look": DRIFT_LOOKS[row.drift.word],
        "bars": [(label, one, other, 100 * one / top, 100 * other / top) for label, one, other in row.bins],
    }
    return render(request, "deployments/drift_feature.html", context, status=422 if pick.problem else 200)


@requires(Action.VIEW)
def endpoint_drift_csv(request: HttpRequest, environment: str, name: str) -> StreamingHttpResponse:
    """Give the features over a span as CSV. Raises Invalid for what names no span."""
    endpoint = selectors.endpoint_for(actor_of(request), environment, name)
    span = read_span(request.GET, zone=timezone.get_current_timezone(), now=clock.now())
    headers = {"Content-Disposition": f'attachment; filename="{environment}-{name}-drift.csv"'}
    lines = csv_lines(COLUMNS, _csv_rows(endpoint, span))
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)


@requires(Action.OBJECTIVE_EDIT)
@require_POST
def endpoint_drift_learn(request: HttpRequest, environment: str, name: str, version: int) -> HttpResponse:
    """Learn the reference of a version's inputs anew from the next sampled requests."""
    actor = actor_of(request)
    endpoint = selectors.endpoint_for(actor, environment, name, action=Action.OBJECTIVE_EDIT)
    found = Version.objects.filter(model=endpoint.model, number=version, superseded_at=None).first()
    if found is None:
        raise NotFound("The model has no such version.")
    drift_reference_learn(actor=actor, place=watched_in_use(endpoint), version=found)
    messages.success(request, f"The next {LEARNED_MIN} sampled requests become the reference of version {version}.")
    return redirect_to(request, reverse("endpoint-drift", args=[environment, name]))


def _tables(endpoint: Endpoint, span: Span) -> list[tuple[int, DriftTable]]:
    """The newest versions with a reference, and the predictions (0) last."""
    rows = DriftReference.objects.filter(environment=endpoint.environment, endpoint=endpoint.name, version__gt=0)
    versions = list(rows.order_by("-version").values_list("version", flat=True)[:3])
    place = watched(endpoint)
    return [(version, drift_table(place, version, since=span.since, until=span.until)) for version in [*versions, 0]]


def _title(version: int) -> str:
    return f"Inputs of version {version}" if version else "Predictions, all versions"


def _shown(table: DriftTable) -> list[tuple[DriftRow, AlertLook]]:
    """Those that have moved most first."""
    rows = sorted(table.rows, key=lambda row: -(row.drift.psi or 0.0))
    return [(row, DRIFT_LOOKS[row.drift.word]) for row in rows]


def _csv_rows(endpoint: Endpoint, span: Span) -> Iterator[dict[str, Any]]:
    for version, table in _tables(endpoint, span):
        for row in table.rows:
            drift = row.drift
            yield {
                "part": "inputs" if version else "predictions",
                "version": version or None,
                "feature": drift.name,
                "kind": drift.kind,
                "word": drift.word.value,
                "values": drift.values,
                "requests": table.requests,
                "missing_share": drift.missing_share,
                "unseen_share": drift.unseen_share,
                "wrong_share": drift.wrong_share,
                "psi": drift.psi,
                "psi_by_chance": drift.distances[0].by_chance if drift.distances else None,
                "sentence": drift.sentence,
            }
