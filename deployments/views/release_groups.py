"""Pages of coordinated releases: list with a form that begins one, and one with its members and acts."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from deployments import services
from deployments.filters import ReleaseGroupFilter
from deployments.forms import ReleaseGroupForm
from deployments.group_selectors import group_for, groups_visible_to
from deployments.lifecycle import RELEASE_LOOKS, ReleaseStatus
from deployments.models import Release, ReleaseGroup
from deployments.selectors import releases_visible_to
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid, NotFound
from mlorch_site.lib.htmx import redirect_to, render_page
from mlorch_site.lib.lists import listed

ACTS: dict[str, tuple[Any, str]] = {
    "close": (services.release_group_close, "They begin as soon as all may."),
    "abort": (services.release_group_abort, "The group ends; what has begun goes back."),
}


@requires(Action.VIEW)
def release_groups(request: HttpRequest) -> HttpResponse:
    """List groups; a POST begins one."""
    actor = actor_of(request)
    form = ReleaseGroupForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = services.release_group_open(actor=actor, **form.cleaned_data)
        except (Invalid, Forbidden) as error:
            form.add_error(None, error.message)
        else:
            return redirect_to(request, reverse("release-group", args=[made.pk]))
    context = listed(request, groups_visible_to(actor), ReleaseGroupFilter) | {
        "form": form,
        "why_not_open": "" if actor.may_anywhere(Action.RELEASE_REQUEST) else actor.why_not(Action.RELEASE_REQUEST),
    }
    return render(request, "deployments/release_groups.html", context, status=400 if form.errors else 200)


@requires(Action.VIEW)
def release_group(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show one group, live."""
    context = _context(request, group_for(actor_of(request), pk))
    return render_page(request, "deployments/release_group.html", "deployments/_release_group.html", context)


def _context(request: HttpRequest, group: ReleaseGroup) -> dict[str, Any]:
    actor = actor_of(request)
    rows = releases_visible_to(actor).filter(group=group).select_related("rollout", "group").order_by("created_at")
    members = list(rows)
    is_own = actor.name == group.created_by
    refusals = [why for one in members if (why := actor.why_not(Action.RELEASE_ABORT, one.scopes))]
    return {
        "group": group,
        "is_own": is_own,
        "members": [
            {
                "release": one,
                "look": RELEASE_LOOKS[ReleaseStatus(one.status)],
                "weight": one.rollout.weight_pct if hasattr(one, "rollout") else 0,
                "waits": _waits(one),
            }
            for one in members
        ],
        "hidden": group.members.count() - len(members),
        "why_not": refusals[0] if refusals and not is_own else "",
    }


def _waits(release: Release) -> str:
    """What a member waits for, or how it ended."""
    rollout = getattr(release, "rollout", None)
    return (rollout.waiting_for if rollout is not None and release.is_open else "") or release.status_reason


@requires(Action.VIEW)
@require_POST
def release_group_act(request: HttpRequest, pk: UUID, act: str) -> HttpResponse:
    """Release the group, or end it."""
    if act not in ACTS:
        raise NotFound("There is no such act.")
    service, done = ACTS[act]
    try:
        service(actor=actor_of(request), group=group_for(actor_of(request), pk))
    except Conflict as error:
        messages.error(request, error.message)
    else:
        messages.success(request, done)
    return redirect_to(request, reverse("release-group", args=[pk]))
