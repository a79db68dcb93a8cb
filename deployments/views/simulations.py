"""Pages of simulations: ask with the plan of the form, look, ask again with other numbers, cancel."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from deployments import selectors, services
from deployments.models import Endpoint, PlanSimulation
from deployments.plan_forecast import traffic_of
from deployments.plan_trials import TrialWish
from deployments.rollout.guardrails import sentence_of
from deployments.rollout.simulation import SimulatedTraffic
from deployments.rollout.strategies import compile_strategy
from deployments.simulation_form import SimulationForm
from deployments.views.releases import release_form_of
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.errors import Conflict, DomainError, Invalid, NotFound
from mlorch_site.lib.htmx import redirect_to, render_page
from registry.selectors import ruling_policy

SHOWN = 20  # earlier ones beside one


@requires(Action.RELEASE_REQUEST)
@require_POST
def simulation_new(request: HttpRequest) -> HttpResponse:
    """Try the plan in the form of a new release, with what was measured at the endpoint."""
    form = release_form_of(request)
    if not form.is_valid():
        return render(request, "deployments/release_new.html", {"form": form}, status=400)
    command = form.command()
    try:
        endpoint = selectors.endpoint_for(actor_of(request), command.environment, command.endpoint)
        run = _ask(request, endpoint, command.strategy, command.guardrails or [])
    except Invalid as error:
        form.add_problems(error)
    except (NotFound, Conflict) as error:
        form.add_error(None, error.message)
    else:
        return redirect_to(request, reverse("simulation", args=[run.pk]))
    return render(request, "deployments/release_new.html", {"form": form}, status=400)


def _ask(
    request: HttpRequest, endpoint: Endpoint, strategy: dict[str, Any], guardrails: list[dict[str, Any]]
) -> PlanSimulation:
    measured = traffic_of((endpoint.environment.name, endpoint.name))
    policy = ruling_policy(endpoint.environment, endpoint.model)
    wish = TrialWish(strategy, guardrails, SimulatedTraffic(**asdict(measured)), policy.judge_deadline_s)
    return services.simulation_ask(actor=actor_of(request), endpoint=endpoint, wish=wish)


@requires(Action.VIEW)
def simulation(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show a simulation while it runs, and what came of it."""
    run = selectors.simulation_for(actor_of(request), pk)
    context = _context(request, run) | {"form": SimulationForm.like(run.inputs)}
    return render_page(request, "deployments/simulation.html", "deployments/_simulation.html", context)


def _context(request: HttpRequest, run: PlanSimulation) -> dict[str, Any]:
    actor, inputs = actor_of(request), run.inputs
    others = PlanSimulation.objects.filter(endpoint=run.endpoint).exclude(pk=run.pk)
    return {
        "run": run,
        "done_pct": 100 * run.done // run.total,
        "traffic": inputs["traffic"] | {"error_pct": 100 * inputs["traffic"]["error_share"]},
        "steps": [step.title for step in compile_strategy(inputs["strategy"])],
        "guardrails": [sentence_of(row) for row in inputs["guardrails"]],
        "rows": [_row(result) for result in run.results],
        "others": others[:SHOWN],
        "why_not_ask": actor.why_not(Action.RELEASE_REQUEST, run.scopes),
        "why_not_cancel": "" if actor.name == run.asked_by else actor.why_not(Action.RELEASE_ABORT, run.scopes),
    }


def _row(result: dict[str, Any]) -> dict[str, Any]:
    """A result as the page shows it: shares in percent, and where each bar begins."""
    promoted, back, held = (round(100 * result[name], 1) for name in ("promoted", "rolled_back", "deadline"))
    return result | {
        "points": 100 * result["excess"],
        "promoted_pct": promoted,
        "back_pct": back,
        "held_pct": held,
        "back_low_pct": 100 * result["rolled_back_low"],
        "back_high_pct": 100 * result["rolled_back_high"],
        "held_from": promoted + back,
    }


@requires(Action.RELEASE_REQUEST)
@require_POST
def simulation_again(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Try the same plan with other numbers."""
    run = selectors.simulation_for(actor_of(request), pk)
    form = SimulationForm(request.POST)
    if form.is_valid():
        try:
            again = services.simulation_ask(
                actor=actor_of(request), endpoint=run.endpoint, wish=form.wish(TrialWish.from_dict(run.inputs))
            )
        except DomainError as error:
            form.add_error(None, error.message)
        else:
            return redirect_to(request, reverse("simulation", args=[again.pk]))
    return render(request, "deployments/simulation.html", _context(request, run) | {"form": form}, status=400)


@requires(Action.VIEW)
@require_POST
def simulation_cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Try it no further."""
    run = selectors.simulation_for(actor_of(request), pk)
    services.simulation_cancel(actor=actor_of(request), run=run)
    messages.success(request, "It is tried no further.")
    return redirect_to(request, reverse("simulation", args=[pk]))
