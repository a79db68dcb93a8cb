"""The audit log as a page, and its export."""

import json
from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.audit.chain import hashed_content, verify
from mlorch_site.audit.filters import AuditSearch
from mlorch_site.audit.models import AuditHead, AuditRecord
from mlorch_site.audit.services import export_note
from mlorch_site.lib.htmx import render_page
from mlorch_site.lib.lists import listed

PAGE_SIZE = 50


@requires(Action.AUDIT_VIEW)
def audit_log(request: HttpRequest) -> HttpResponse:
    """List records, newest first; filters are in the address."""
    context = listed(request, AuditRecord.objects.all(), AuditSearch, page_size=PAGE_SIZE)
    context["head"] = AuditHead.objects.get(pk=1)
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
