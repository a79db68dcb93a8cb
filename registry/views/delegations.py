"""The page on which people let others decide for them."""

from datetime import timedelta

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Forbidden, Invalid
from mlorch_site.lib.htmx import redirect_to, render_page
from mlorch_site.lib.lists import listed
from mlorch_site.lib.refusals import note_refused
from registry.approvals.delegations import (
    delegable_scopes,
    delegation_end,
    delegation_for,
    delegation_give,
    delegations_visible_to,
    held_delegations,
)
from registry.forms import DelegationForm

USUAL_DAYS = 7


@requires(Action.VIEW)
def delegations(request: HttpRequest) -> HttpResponse:
    """List what a person delegated and what others delegated to them; delegate."""
    actor, now = actor_of(request), clock.now()
    initial = {"starts_at": now, "ends_at": now + timedelta(days=USUAL_DAYS)}
    form = DelegationForm(request.POST or None, actor=actor, initial=initial)
    if request.method == "POST" and form.is_valid() and _given(request, actor, form):
        messages.success(request, f"{form.cleaned_data['delegate']} may decide for you for that time.")
        return redirect_to(request, reverse("delegations"))
    context = listed(request, delegations_visible_to(actor))
    context |= {
        "rows": held_delegations(list(context["page"]), now),
        "form": form,
        "why_not": "" if delegable_scopes(actor) else _why_not(actor),
    }
    if form.errors:
        return render(request, "registry/delegations.html", context, status=422)
    return render_page(request, "registry/delegations.html", "registry/_delegations.html", context)


def _why_not(actor: Actor) -> str:
    return actor.why_not(Action.RELEASE_DECIDE) or "You hold no role that decides, so there is nothing to delegate."


def _given(request: HttpRequest, actor: Actor, form: DelegationForm) -> bool:
    """Whether it was delegated; what the service refuses stands at its field."""
    try:
        delegation_give(actor=actor, **form.arguments())
    except (Invalid, Forbidden) as error:
        if isinstance(error, Forbidden):
            note_refused(request, error)
        form.add_error(next((name for name in error.details if name in form.fields), None), error.message)
        return False
    return True


@requires(Action.VIEW)
@require_POST
def delegation_stop(request: HttpRequest, pk: str) -> HttpResponse:
    """End a delegation."""
    actor = actor_of(request)
    delegation_end(actor=actor, delegation=delegation_for(actor, pk))
    messages.success(request, "The delegation is ended.")
    return redirect_to(request, reverse("delegations"))
