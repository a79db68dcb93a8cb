"""The audit log as a page, and its export."""

from typing import Any

from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.audit.copy_delivery import copy_standings
from mlorch_site.audit.export import VERIFIER, export_lines
from mlorch_site.audit.filters import AuditSearch
from mlorch_site.audit.middleware import sensitive
from mlorch_site.audit.selectors import audit_visible_to
from mlorch_site.audit.services import export_note
from mlorch_site.audit.verification import standing
from mlorch_site.audit.verification_runs import verification_ask, verification_run, why_not_verify
from mlorch_site.lib.errors import TooMany, Unavailable
from mlorch_site.lib.htmx import render_page
from mlorch_site.lib.lists import listed

PAGE_SIZE = 50


@sensitive
@requires(Action.AUDIT_VIEW)
def audit_log(request: HttpRequest) -> HttpResponse:
    """List records, newest first; filters are in the address."""
    actor = actor_of(request)
    context = listed(request, audit_visible_to(actor), AuditSearch, page_size=PAGE_SIZE)
    context |= {"standing": standing(), "why_not_export": actor.why_not(Action.AUDIT_VIEW)}
    context |= {"copies": copy_standings(), **_verification(actor)}
    return render_page(request, "audit/log.html", "audit/_log.html", context)


@requires(Action.AUDIT_VIEW)
def audit_verify(request: HttpRequest) -> HttpResponse:
    """Show how far the verification of the whole record has come and what the last one found; a POST asks for one."""
    actor, refused = actor_of(request), ""
    if request.method == "POST":
        try:
            verification_ask(actor=actor)
        except (TooMany, Unavailable) as error:
            refused = error.message
    return render(request, "audit/_verification.html", {**_verification(actor), "refused": refused})


def _verification(actor: Actor) -> dict[str, Any]:
    run = verification_run()
    return {"run": run, "why_not_verify": why_not_verify(actor, run)}


@requires(Action.AUDIT_VIEW)
def audit_export(request: HttpRequest) -> StreamingHttpResponse:
    """Give all records and checkpoints as JSON lines. That it was done is recorded too."""
    export_note(actor=actor_of(request))
    headers = {"Content-Disposition": 'attachment; filename="audit.jsonl"'}
    return StreamingHttpResponse(export_lines(), content_type="application/x-ndjson", headers=headers)


@requires(Action.AUDIT_VIEW)
def audit_verifier(request: HttpRequest) -> FileResponse:
    """Give the program that verifies an export without mlorch."""
    return FileResponse(VERIFIER.open("rb"), as_attachment=True, filename="verify_export.py")
