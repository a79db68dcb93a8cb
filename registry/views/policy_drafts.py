"""The page on which a draft of a policy is looked at and published, and the way in for documents."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from mlorch_site.lib.htmx import redirect_to
from mlorch_site.lib.http import status_of
from mlorch_site.lib.readable import whole_number
from mlorch_site.lib.refusals import note_refused
from registry import services
from registry.counting_windows import windows_under
from registry.draft_access import draft_for, why_cannot_edit, why_cannot_publish
from registry.draft_conflict import text_of
from registry.draft_review import draft_review, why_cannot_submit
from registry.lifecycle import POLICY_MOVES, PolicyStage
from registry.models import PolicyDraft
from registry.policy_import import draft_from_document
from registry.policy_lines import line_of, policy_url, title_of
from registry.policy_rows import WINDOWS_PREFIX, WindowRows
from registry.selectors import line_said, policies_in_force, policy_revision_for
from registry.views.policies import document_answer
from registry.window_calendar import month_of
from registry.window_preview import next_occurrences

MOVES = ("submit", "publish", "schedule", "return", "withdraw", "rebase")


@requires(Action.VIEW)
def policy_draft(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show a draft: what it changes, who can meet its rules, what it would have done, and who may publish it."""
    actor = actor_of(request)
    return render(request, "registry/policy_draft.html", _context(request, actor, draft_for(actor, pk)))


def _context(request: HttpRequest, actor: Actor, draft: PolicyDraft) -> dict[str, Any]:
    month = month_of(request.GET.get("month", ""), timezone.localdate())
    review = draft_review(actor, draft, month=month, zone=timezone.get_current_timezone())
    why_not_write = actor.why_not(Action.POLICY_EDIT, [draft.environment.scope])
    moves = POLICY_MOVES[PolicyStage(draft.stage)]
    is_draft = draft.stage == PolicyStage.DRAFT
    return {
        "draft": draft,
        "title": f"{'The end of the policy' if draft.ends_line else 'Draft'} of {review.line.words}",
        "authors": list(draft.authors.order_by("username")),
        "review": review,
        "why_not_edit": why_cannot_edit(actor, draft),
        "why_not_submit": why_not_write or why_cannot_submit(draft, review),
        "why_not_publish": why_cannot_publish(actor, draft) or _in_the_way(draft, review),
        "why_not_write": why_not_write,
        "is_draft": is_draft,
        "may_return": PolicyStage.DRAFT in moves and not is_draft,
        "may_withdraw": PolicyStage.WITHDRAWN in moves,
        "is_in_review": draft.stage == PolicyStage.REVIEW,
        "made_title": title_of(draft.made) if draft.made else "",
    }


def _in_the_way(draft: PolicyDraft, review: Any) -> str:
    """What stops a publication besides who asks for it."""
    if review.conflict:
        return "Another revision came into force meanwhile: send it back, and settle that first."
    return "" if draft.ends_line or not review.unmeetable else f"Nobody could approve: {review.unmeetable}."


@requires(Action.POLICY_EDIT)
@require_POST
def policy_draft_move(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Put a draft up for review, publish it, send it back, withdraw it, or go on from what came into force."""
    actor = actor_of(request)
    draft = draft_for(actor, pk, action=Action.POLICY_EDIT)
    try:
        messages.success(request, _moved(actor, draft, request))
    except Forbidden as error:
        note_refused(request, error)
        messages.error(request, error.message)
    except (Invalid, Conflict) as error:
        messages.error(request, error.message)
    return redirect_to(request, reverse("policy-draft", args=[pk]))


def _moved(actor: Actor, draft: PolicyDraft, request: HttpRequest) -> str:
    """Do it, and say what came of it. Raises what the services raise."""
    how, reason = request.POST.get("how", ""), request.POST.get("reason", "")
    given: dict[str, Any] = {"actor": actor, "draft": draft, "seen": _seen(request)}
    if how == "submit":
        services.draft_submit(**given)
        return "It is up for review."
    if how == "publish":
        policy = services.draft_publish(**given)
        return f"{title_of(policy)} {'was ended' if draft.ends_line else 'is in force'}."
    if how == "schedule":
        starts_at = _moment(request.POST.get("starts_at", ""))
        services.draft_schedule(**given, starts_at=starts_at)
        return f"It comes into force at {timezone.localtime(starts_at):%Y-%m-%d %H:%M}."
    if how == "return":
        services.draft_return(**given, reason=reason)
        return "It is a draft again."
    if how == "withdraw":
        services.draft_withdraw(**given, reason=reason)
        return "It is withdrawn; the policy stays as it is."
    if how == "rebase":
        services.draft_rebase(**given)
        return "The draft goes on from what is in force."
    raise Invalid(f"A draft is moved by {', '.join(MOVES)}.")


def _seen(request: HttpRequest) -> int:
    """The state of the draft that the person looked at. Raises Conflict for none."""
    seen = whole_number(request.POST.get("seen", ""))
    if seen is None:
        raise Conflict("Which state of it you looked at is missing; look again.")
    return seen


def _moment(text: str) -> datetime:
    """A time as a form gives it, in the person's zone. Raises Invalid."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid("Give the day and the time from when on it is in force.", details={"starts_at": text}) from error
    return (found if found.tzinfo else timezone.make_aware(found)).astimezone(UTC)


@requires(Action.VIEW)
def policy_draft_document(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A draft as a YAML document."""
    draft = draft_for(actor_of(request), pk)
    title = f"A draft for {line_of(draft).words}"
    return document_answer(line_of(draft), text_of(draft), draft.note, title, f"draft-{draft.environment.name}")


@requires(Action.POLICY_EDIT)
@require_POST
def window_preview(request: HttpRequest, environment: str) -> HttpResponse:
    """What the windows in the form would mean, before anything is kept: the next times, and errors at their fields."""
    actor = actor_of(request)
    line = line_said(actor, environment, request.GET.get("model", ""), request.GET.get("tier", ""))
    rows = WindowRows(request.POST, prefix=WINDOWS_PREFIX)
    is_right = rows.is_valid()
    written = [row.value() for row in rows.forms if row.has_changed() and row.is_valid() and not _is_taken_away(row)]
    windows = windows_under(written, policies_in_force(line.environment), line)
    fields = [field for row in rows.forms for field in row.visible_fields()]
    context = {
        "fields": fields,
        "form_problems": [] if is_right else rows.non_form_errors(),
        "occurrences": next_occurrences(windows, clock.now()),
        "is_right": is_right,
    }
    return render(request, "registry/_window_preview.html", context)


def _is_taken_away(row: Any) -> bool:
    return bool(row.cleaned_data.get("DELETE"))


@requires(Action.POLICY_EDIT)
def policy_import(request: HttpRequest) -> HttpResponse:
    """Make a draft of a document that was pasted; one that cannot be read stays in the form, with line and key."""
    text, actor = request.POST.get("document", ""), actor_of(request)
    if request.method != "POST":
        return render(request, "registry/policy_import.html", {"document": text})
    try:
        draft = draft_from_document(actor=actor, text=text)
    except (Invalid, Conflict, Forbidden) as error:
        if isinstance(error, Forbidden):
            note_refused(request, error)
        places = [f"{place}: {why}" for place, why in error.details.items()]
        context = {"document": text, "problems": places or [error.message]}
        return render(request, "registry/policy_import.html", context, status=status_of(error))
    messages.success(request, "A draft was made of it. Look at it, then put it up for review.")
    return redirect_to(request, reverse("policy-draft", args=[draft.pk]))


@requires(Action.POLICY_EDIT)
@require_POST
def policy_end(request: HttpRequest, environment: str, revision: int) -> HttpResponse:
    """Begin the end of a line: a draft, which is reviewed and published like any other."""
    actor = actor_of(request)
    policy = policy_revision_for(actor, environment, revision)
    try:
        note = request.POST.get("note", "")
        draft = services.draft_create(actor=actor, line=line_of(policy), note=note, ends_line=True)
    except (Invalid, Forbidden) as error:
        if isinstance(error, Forbidden):
            note_refused(request, error)
        messages.error(request, error.message)
        return redirect_to(request, policy_url(policy))
    return redirect_to(request, reverse("policy-draft", args=[draft.pk]))
