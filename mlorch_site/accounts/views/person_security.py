"""What proves another person and where they are signed in, for who manages people: to end it, and to reset it."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from mlorch_site.accounts.access import person_for
from mlorch_site.accounts.person_sessions import open_sessions, person_sessions_end
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.second_factors import factors_of, factors_reset
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.audit.middleware import sensitive
from mlorch_site.lib.errors import Forbidden, Invalid
from mlorch_site.lib.htmx import redirect_to
from mlorch_site.lib.refusals import note_refused


@sensitive
@requires(Action.PEOPLE_MANAGE)
def person_security(request: HttpRequest, name: str) -> HttpResponse:
    """Show a person's second factors and open sessions."""
    actor = actor_of(request)
    actor.require(Action.PEOPLE_MANAGE)
    return _page(request, name)


def _page(request: HttpRequest, name: str, problem: str = "", status: int = 200) -> HttpResponse:
    actor = actor_of(request)
    person = person_for(actor, name)
    context = {
        "person": person,
        "factors": factors_of(person),
        "sessions": open_sessions(person, request.session.session_key),
        "is_oneself": actor.user == person,
        "problem": problem,
        "reason": request.POST.get("reason", ""),
    }
    return render(request, "accounts/person_security.html", context, status=status)


@requires(Action.PEOPLE_MANAGE)
@require_POST
def person_factors_reset(request: HttpRequest, name: str) -> HttpResponse:
    """Remove all second factors of a person who lost them."""
    actor = actor_of(request)
    try:
        factors_reset(actor=actor, user=person_for(actor, name), reason=request.POST.get("reason", ""))
    except (Invalid, Forbidden) as error:
        if isinstance(error, Forbidden):
            note_refused(request, error)
        return _page(request, name, error.message, 403 if isinstance(error, Forbidden) else 422)
    messages.success(request, "They are removed; the person sets up new ones.")
    return redirect_to(request, reverse("person-security", args=[name]))


@requires(Action.PEOPLE_MANAGE)
@require_POST
def person_sessions_close(request: HttpRequest, name: str) -> HttpResponse:
    """End all sessions of a person; of one's own, not this one."""
    actor = actor_of(request)
    person = person_for(actor, name)
    count = person_sessions_end(
        actor=actor, user=person, keep=request.session.session_key, reason=request.POST.get("reason", "")[:300]
    )
    messages.success(request, f"{count} session{'s are' if count != 1 else ' is'} ended.")
    return redirect_to(request, reverse("person-security", args=[name]))
