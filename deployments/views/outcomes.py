"""The page of an endpoint's outcomes: what is reported, what came of it, and a form for another one."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from deployments import selectors
from deployments.models import Endpoint
from deployments.services.watching import outcome_of, watched, watched_in_use
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.errors import Conflict, Invalid
from mlorch_site.lib.htmx import redirect_to
from monitoring.forms import OutcomeForm
from monitoring.outcome_figures import outcome_figures
from monitoring.services import outcome_define, outcome_end


@requires(Action.VIEW)
def outcomes(request: HttpRequest, environment: str, name: str) -> HttpResponse:
    """Show an endpoint's outcomes; define one."""
    actor = actor_of(request)
    endpoint = selectors.endpoint_for(actor, environment, name)
    form = OutcomeForm(request.POST if request.method == "POST" else None)
    if request.method == "POST":
        actor.require(Action.OBJECTIVE_EDIT, endpoint.scopes)
        if form.is_valid() and _is_made(request, endpoint, form):
            messages.success(request, "The outcome is defined; it may be posted.")
            return redirect_to(request, _address(endpoint))
    why_not = actor.why_not(Action.OBJECTIVE_EDIT, endpoint.scopes)
    if not why_not and endpoint.retired_at is not None:
        why_not = "The endpoint is retired."
    context = {"endpoint": endpoint, "outcomes": outcome_figures(watched(endpoint)), "form": form, "why_not": why_not}
    return render(request, "deployments/outcomes.html", context, status=422 if form.errors else 200)


def _is_made(request: HttpRequest, endpoint: Endpoint, form: OutcomeForm) -> bool:
    try:
        outcome_define(actor=actor_of(request), place=watched_in_use(endpoint), wish=form.wish())
    except Invalid as error:
        form.add_problems(error.details)
    except Conflict as error:
        form.add_error(None, error.message)
    return not form.errors


@requires(Action.OBJECTIVE_EDIT)
@require_POST
def outcome_stop(request: HttpRequest, environment: str, name: str, pk: str) -> HttpResponse:
    """Take no more of an outcome."""
    actor = actor_of(request)
    endpoint = selectors.endpoint_for(actor, environment, name, action=Action.OBJECTIVE_EDIT)
    reason = request.POST.get("reason", "")
    outcome_end(actor=actor, definition=outcome_of(endpoint, pk), reason=reason)
    messages.success(request, "The outcome has ended; what came of it stays.")
    return redirect_to(request, _address(endpoint))


def _address(endpoint: Endpoint) -> str:
    return reverse("endpoint-outcomes", args=[endpoint.environment.name, endpoint.name])
