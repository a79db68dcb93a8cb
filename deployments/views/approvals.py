"""The reviewers' inbox, and the page on which they decide."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from deployments import services
from deployments.biography import biography
from deployments.decision_sheet import headline, planned_steps
from deployments.models import Release
from deployments.rollout.guardrails import sentence_of
from deployments.serving_comparison import compare_serving
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action, Role
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid, NotFound
from mlorch_site.lib.htmx import redirect_to, render_page
from mlorch_site.lib.http import status_of
from mlorch_site.lib.lists import listed
from mlorch_site.lib.refusals import note_refused
from registry.approvals.electorate import who_may_decide
from registry.approvals.selectors import (
    approval_for,
    approval_progress,
    approvals_visible_to,
    waiting_for,
    why_cannot_decide,
)
from registry.cards.selectors import card_evidence
from registry.models import ApprovalRequest, GateResult
from registry.selectors import why_changed_outside
from registry.version_comparison import compare_versions
from registry.version_lifecycle import why_out_of_use

DONE = {"approve": "Approved.", "reject": "Rejected.", "request_changes": "Changes were requested."}


@requires(Action.VIEW)
def approvals(request: HttpRequest) -> HttpResponse:
    """List approval requests: those that wait for this person, all open ones, or the ended ones."""
    actor = actor_of(request)
    tab = request.GET.get("tab", "mine")
    mine = waiting_for(actor)
    if tab == "mine":
        rows = mine
    else:
        visible = approvals_visible_to(actor)
        rows = visible.filter(status="open") if tab == "open" else visible.exclude(status="open")
    context = listed(request, rows.prefetch_related("decisions__person"))
    context |= {
        "rows": [(row, approval_progress(row)) for row in context["page"]],
        "tab": tab,
        "tabs": [("mine", f"Waiting for me ({mine.count()})"), ("open", "All open"), ("ended", "Ended")],
    }
    return render_page(request, "deployments/approvals.html", "deployments/_approvals.html", context)


def _release_of(request_row: ApprovalRequest) -> Release:
    release = Release.objects.select_related(
        "endpoint__environment",
        "endpoint__model",
        "endpoint__stable_release__version__model",
        "endpoint__stable_release__serving_config",
        "version__model",
        "requester",
        "policy",
        "serving_config",
    ).filter(approval=request_row)
    found = release.first()
    if found is None:
        raise NotFound("The release this approval was about is gone.")
    return found


@requires(Action.VIEW)
def approval(request: HttpRequest, pk: str) -> HttpResponse:
    """Show what changes, on what evidence, and who has to decide."""
    context = _context(actor_of(request), approval_for(actor_of(request), pk))
    return render_page(request, "deployments/approval.html", "deployments/_approval.html", context)


def _context(actor: Actor, row: ApprovalRequest) -> dict[str, Any]:
    release = _release_of(row)
    stable, is_open, progress = release.endpoint.stable_release, row.status == "open", approval_progress(row)
    comparison = compare_versions(stable.version if stable else None, release.version)
    stays = biography(release, actor)
    gates = list(GateResult.objects.filter(subject_kind="release", subject_id=str(release.pk)))
    return {
        "approval": row,
        "release": release,
        "from_version": stable.version if stable else None,
        "headline": headline(comparison, stays, gates),
        "comparison": comparison,
        "biography": stays,
        "serving": compare_serving(stable.serving_config if stable else None, release.serving_config),
        "changed_outside": why_changed_outside(release.version, release.digest) if is_open else "",
        "card": card_evidence(release.version, release.plan.get("card")),
        "out_of_use": why_out_of_use(release.version) if is_open else "",
        "steps": planned_steps(release),
        "guardrails": [sentence_of(guardrail) for guardrail in release.guardrails],
        "gates": gates,
        "progress": progress,
        "awaited": [(Role(role).label, names) for role, names in who_may_decide(row).items()] if is_open else [],
        "decisions": row.decisions.select_related("person"),
        "why_not": why_cannot_decide(actor, row),
        "is_open": is_open,
        "mine": row.decisions.filter(person=actor.user).order_by("-pk").first() if actor.user else None,
    }


@requires(Action.RELEASE_DECIDE)
@require_POST
def approval_decide(request: HttpRequest, pk: str) -> HttpResponse:
    """Note this person's decision."""
    actor = actor_of(request)
    row = approval_for(actor, pk, action=Action.RELEASE_DECIDE)
    kind, comment = request.POST.get("decision", ""), request.POST.get("comment", "")
    try:
        release = services.release_decide(actor=actor, release=_release_of(row), decision=kind, comment=comment)
    except (Invalid, Conflict, Forbidden) as error:
        if isinstance(error, Forbidden):
            note_refused(request, error)
        context = _context(actor, approval_for(actor, pk)) | {"problem": error.message, "comment": comment}
        return render(request, "deployments/approval.html", context, status=status_of(error))
    messages.success(request, DONE[kind])
    started = release.status not in ("awaiting_approval", "rejected")
    return redirect_to(request, reverse("release", args=[release.pk]) if started else reverse("approval", args=[pk]))
