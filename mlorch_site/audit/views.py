"""The audit log as a page, and its export."""

import json
from collections.abc import Iterator
from datetime import date

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render

from mlorch_site.accounts.access import requires
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.audit.chain import hashed_content, verify
from mlorch_site.audit.models import AuditHead, AuditRecord
from mlorch_site.audit.services import export_note
from mlorch_site.lib.htmx import render_page

PAGE_SIZE = 50
FILTERS = {
    "actor": "actor__icontains",
    "action": "action__startswith",
    "subject": "subject_label__icontains",
    "since": "at__date__gte",
    "until": "at__date__lte",
}


def _rows(request: HttpRequest) -> tuple[QuerySet[AuditRecord], dict[str, str]]:
    chosen = {name: request.GET.get(name, "").strip()[:100] for name in FILTERS}
    wanted = {lookup: chosen[name] for name, lookup in FILTERS.items() if chosen[name]}
    for name in ("since", "until"):
        if chosen[name] and not _is_date(chosen[name]):
            wanted.pop(FILTERS[name])
    return AuditRecord.objects.filter(**wanted), chosen


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


@requires(Action.AUDIT_VIEW)
def audit_log(request: HttpRequest) -> HttpResponse:
    """List records, newest first; filters are in the address."""
    rows, chosen = _rows(request)
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    head = AuditHead.objects.get(pk=1)
    context = {"page": page, "chosen": chosen, "filtered": any(chosen.values()), "head": head}
    return render_page(request, "audit/log.html", "audit/_log.html", context)


@requires(Action.AUDIT_VIEW)
def audit_verify(request: HttpRequest) -> HttpResponse:
    """Walk the whole chain now and say what was found."""
    return render(request, "audit/_verified.html", {"result": verify()})


@requires(Action.AUDIT_VIEW)
def audit_export(request: HttpRequest) -> StreamingHttpResponse:
    """Give all records as JSON lines, oldest first. That it was done is recorded too."""
    export_note(actor=actor_of(request))

    def lines() -> Iterator[str]:
        for record in AuditRecord.objects.order_by("sequence").iterator(chunk_size=2000):
            yield (
                json.dumps({**hashed_content(record), "previous_hash": record.previous_hash, "hash": record.hash})
                + "\n"
            )

    headers = {"Content-Disposition": 'attachment; filename="audit.jsonl"'}
    return StreamingHttpResponse(lines(), content_type="application/x-ndjson", headers=headers)
