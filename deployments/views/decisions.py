"""The page on which reviewers decide, and what they and the requester do there."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from deployments import services
from deployments.decision_page import approval_context, release_of
from deployments.views.approvals import inbox_address
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.errors import Conflict, DomainError, Forbidden, Invalid
from mlorch_site.lib.htmx import redirect_to, render_page
from mlorch_site.lib.http import status_of
from mlorch_site.lib.readable import whole_number
from mlorch_site.lib.refusals import note_refused
from registry.approvals.comments import comment_add, comment_edit, comment_of, mention_done, thread_of
from registry.approvals.selectors import approval_for
from registry.models import ApprovalRequest, Comment

DONE = {
    "approve": "Approved.",
    "reject": "Rejected.",
    "request_changes": "Changes were requested.",
    "take_back": "Your decision is taken back.",
}


@requires(Action.VIEW)
def approval(request: HttpRequest, pk: str) -> HttpResponse:
    """Show what changes, on what evidence, and who has to decide."""
    actor = actor_of(request)
    row = approval_for(actor, pk)
    context = {**approval_context(actor, row), **_comment_form(request, row)}
    return render_page(request, "deployments/approval.html", "deployments/_approval.html", context)


@requires(Action.VIEW)
def approval_thread(request: HttpRequest, pk: str) -> HttpResponse:
    """Give the comments on a request."""
    actor = actor_of(request)
    row = approval_for(actor, pk)
    context = {"approval": row, "thread": thread_of(row, actor)}
    return render_page(request, "deployments/_thread.html", "deployments/_thread.html", context)


def _comment_form(request: HttpRequest, row: ApprovalRequest) -> dict[str, Any]:
    """What the form of a comment is about: the comment that is replied to or edited, as the address says."""
    reply, edit = (whole_number(request.GET.get(name, "")) for name in ("reply", "edit"))
    context: dict[str, Any] = {}
    if reply is not None:
        context["reply_to"] = comment_of(row, reply)
    if edit is not None:
        context["editing"] = comment_of(row, edit)
        context["text"] = context["editing"].text
    return context


@requires(Action.RELEASE_DECIDE)
@require_POST
def approval_decide(request: HttpRequest, pk: str) -> HttpResponse:
    """Note this person's decision."""
    actor = actor_of(request)
    row = approval_for(actor, pk, action=Action.RELEASE_DECIDE)
    kind, comment = request.POST.get("decision", ""), request.POST.get("comment", "")
    for_whom = request.POST.get("on_behalf_of", "")
    try:
        release = services.release_decide(
            actor=actor, release=release_of(row), decision=kind, comment=comment, on_behalf_of=for_whom
        )
    except (Invalid, Conflict, Forbidden) as error:
        given = {"comment": comment, "on_behalf_of": for_whom}
        return _refused(request, actor, pk, error, given)
    messages.success(request, DONE[kind])
    if "inbox" in request.POST:
        return redirect_to(request, inbox_address(request.POST["inbox"]))
    started = release.status not in ("awaiting_approval", "rejected")
    return redirect_to(request, reverse("release", args=[release.pk]) if started else reverse("approval", args=[pk]))


@requires(Action.RELEASE_REQUEST)
@require_POST
def approval_withdraw(request: HttpRequest, pk: str) -> HttpResponse:
    """Withdraw one's own request; its page then leads to the next one, filled in as this one was."""
    actor = actor_of(request)
    row = approval_for(actor, pk)
    reason, release = request.POST.get("reason", ""), release_of(row)
    try:
        services.release_withdraw(actor=actor, release=release, reason=reason)
    except (Invalid, Conflict, Forbidden) as error:
        return _refused(request, actor, pk, error, {"withdraw_reason": reason})
    messages.success(request, "The request is withdrawn.")
    return redirect_to(request, reverse("approval", args=[pk]))


@requires(Action.VIEW)
@require_POST
def approval_comment(request: HttpRequest, pk: str) -> HttpResponse:
    """Say something about a request, or edit what one said."""
    actor = actor_of(request)
    row = approval_for(actor, pk)
    text, parent, edit = request.POST.get("text", ""), request.POST.get("parent", ""), request.POST.get("edit", "")
    try:
        if edit:
            written = comment_edit(actor=actor, comment=comment_of(row, whole_number(edit) or 0), text=text)
        else:
            above = whole_number(parent) or 0 if parent else None
            written = comment_add(actor=actor, request=row, text=text, parent=above)
    except (Invalid, Conflict, Forbidden) as error:
        about = {"reply_to": _comment_or_none(row, parent), "editing": _comment_or_none(row, edit)}
        return _refused(request, actor, pk, error, {"text": text, "comment_problem": error.message, **about})
    if written.unknown:
        names = ", ".join(f"@{name}" for name in written.unknown)
        messages.warning(request, f"Nobody who may see this request is called {names}, so nobody was told.")
    return redirect_to(request, f"{reverse('approval', args=[pk])}#comment-{written.comment.pk}")


@requires(Action.VIEW)
@require_POST
def approval_mention_done(request: HttpRequest, pk: str) -> HttpResponse:
    """What waits for this person because of comments on a request need not wait any more."""
    actor = actor_of(request)
    mention_done(actor=actor, request=approval_for(actor, pk))
    return redirect_to(request, inbox_address(request.POST.get("inbox", "")))


def _comment_or_none(row: ApprovalRequest, number: str) -> Comment | None:
    return row.comments.filter(pk=whole_number(number) or 0).select_related("author").first()


def _refused(request: HttpRequest, actor: Actor, pk: str, error: DomainError, given: dict[str, Any]) -> HttpResponse:
    """The page again with the problem at its field, and nothing lost of what was `given`."""
    if isinstance(error, Forbidden):
        note_refused(request, error)
    problem = {} if "comment_problem" in given else {"problem": error.message}
    context = approval_context(actor, approval_for(actor, pk))
    context |= {**problem, "problem_field": next(iter(error.details), ""), **given}
    return render(request, "deployments/approval.html", context, status=status_of(error))
