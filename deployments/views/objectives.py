"""The page of an endpoint's objectives and alert rules, and the usual set with one click."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from deployments import selectors
from deployments.models import Endpoint
from deployments.services.watching import alert_rule_of, objective_of, usual_set, watched, watched_in_use
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.errors import Conflict, Invalid
from mlorch_site.lib.htmx import redirect_to
from monitoring.alerts.lifecycle import BUDGET_LOOKS, RULE_LOOKS, ObjectiveKind, RuleKind, RuleState
from monitoring.alerts.rule_terms import RuleTerms
from monitoring.forms import AlertRuleForm, ObjectiveForm
from monitoring.models import Objective
from monitoring.services import (
    ObjectiveWish,
    RuleWish,
    UsualSet,
    alert_rule_add,
    alert_rule_end,
    objective_end,
    objective_set,
    usual_set_make,
)
from monitoring.services.objectives import burn_rules

ADDED = {"objective": "The objective is set; its burn rates are watched.", "rule": "The rule is added."}


def watch_context(endpoint: Endpoint) -> dict[str, Any]:
    """What is shown of an endpoint's objectives and rules wherever they are."""
    place = watched(endpoint)
    return {
        "objectives": [(one, BUDGET_LOOKS[one.standing.budget.status]) for one in place.objectives()],
        "rules": [(rule, RULE_LOOKS[RuleState(rule.standing.state)]) for rule in place.rules()],
    }


@requires(Action.VIEW)
def objectives(request: HttpRequest, environment: str, name: str) -> HttpResponse:
    """Show what watches an endpoint; set an objective, add a rule, or make the usual set."""
    actor = actor_of(request)
    endpoint = selectors.endpoint_for(actor, environment, name)
    what = request.POST.get("what", "") if request.method == "POST" else ""
    forms: dict[str, Any] = {
        "objective": ObjectiveForm(request.POST if what == "objective" else None),
        "rule": AlertRuleForm(request.POST if what == "rule" else None),
    }
    if request.method == "POST":
        actor.require(Action.OBJECTIVE_EDIT, endpoint.scopes)
        if what == "usual":
            return _usual_make(request, endpoint)
        if what not in forms:
            raise Invalid("An objective is set, a rule added, or the usual set made.", details={"what": "unknown"})
        if forms[what].is_valid() and _is_made(request, endpoint, what, forms[what]):
            messages.success(request, ADDED[what])
            return redirect_to(request, _address(endpoint))
    return _page(request, endpoint, forms)


def _is_made(request: HttpRequest, endpoint: Endpoint, what: str, form: Any) -> bool:
    service: Any = objective_set if what == "objective" else alert_rule_add
    try:
        service(actor=actor_of(request), place=watched_in_use(endpoint), wish=form.wish())
    except Invalid as error:
        form.add_problems(error.details)
    except Conflict as error:
        form.add_error(None, error.message)
    return not form.errors


def _page(request: HttpRequest, endpoint: Endpoint, forms: dict[str, Any]) -> HttpResponse:
    context = watch_context(endpoint)
    why_not = actor_of(request).why_not(Action.OBJECTIVE_EDIT, endpoint.scopes)
    if not why_not and endpoint.retired_at is not None:
        why_not = "The endpoint is retired."
    context |= {
        "endpoint": endpoint,
        "why_not": why_not,
        "objective_form": forms["objective"],
        "rule_form": forms["rule"],
    }
    if not context["objectives"] and not context["rules"]:
        context["usual"] = _shown(endpoint)
    status = 422 if any(form.errors for form in forms.values()) else 200
    return render(request, "deployments/objectives.html", context, status=status)


def _shown(endpoint: Endpoint) -> dict[str, Any]:
    """What the usual set would make, word for word, and the two values that the click carries along."""
    usual = usual_set(endpoint)
    latency = next(one for one in usual.objectives if one.kind == ObjectiveKind.LATENCY)
    unsaved = [
        Objective(kind=one.kind, target_pct=one.target_pct, slo_ms=one.slo_ms, window_days=one.window_days)
        for one in usual.objectives
    ]
    burning = [_sentence(rule) for rule in burn_rules(usual.objectives[0])]
    return {
        "objectives": [one.sentence for one in unsaved],
        "burning": burning,
        "rules": [_sentence(rule) for rule in usual.rules],
        "slo_ms": latency.slo_ms,
        "escalate_after_min": burn_rules(usual.objectives[0])[0].escalate_after_min,
        "absence_min": usual.rules[0].over_min if usual.rules else 0,
    }


def _sentence(wish: RuleWish) -> str:
    return RuleTerms(RuleKind(wish.kind), over_min=wish.over_min, minimum=wish.minimum).sentence


def _usual_make(request: HttpRequest, endpoint: Endpoint) -> HttpResponse:
    """Make what was shown: the two values that depend on traffic come back with the click."""
    try:
        slo_ms = float(request.POST.get("slo_ms", ""))
        absence_min = int(request.POST.get("absence_min", ""))
    except ValueError as error:
        raise Invalid("The usual set is not the one that was shown; look again.") from error
    fresh = usual_set(endpoint)
    kept = tuple(
        ObjectiveWish(one.kind, one.target_pct, one.window_days, one.slo_ms and slo_ms, one.bad_min)
        for one in fresh.objectives
    )
    absence = (RuleWish(RuleKind.ABSENCE.value, over_min=absence_min),) if absence_min else ()
    try:
        usual_set_make(actor=actor_of(request), place=watched_in_use(endpoint), usual=UsualSet(kept, absence))
    except (Conflict, Invalid) as error:
        messages.error(request, error.message)
    else:
        messages.success(request, "The usual objectives and alerts are set.")
    return redirect_to(request, _address(endpoint))


@requires(Action.OBJECTIVE_EDIT)
@require_POST
def objective_stop(request: HttpRequest, environment: str, name: str, pk: str) -> HttpResponse:
    """End an objective with its rules."""
    actor = actor_of(request)
    endpoint = selectors.endpoint_for(actor, environment, name, action=Action.OBJECTIVE_EDIT)
    objective_end(actor=actor, objective=objective_of(endpoint, pk), reason=request.POST.get("reason", ""))
    messages.success(request, "The objective has ended, and its rules with it.")
    return redirect_to(request, _address(endpoint))


@requires(Action.OBJECTIVE_EDIT)
@require_POST
def alert_rule_stop(request: HttpRequest, environment: str, name: str, pk: str) -> HttpResponse:
    """End a rule."""
    actor = actor_of(request)
    endpoint = selectors.endpoint_for(actor, environment, name, action=Action.OBJECTIVE_EDIT)
    try:
        alert_rule_end(actor=actor, rule=alert_rule_of(endpoint, pk), reason=request.POST.get("reason", ""))
    except Conflict as error:
        messages.error(request, error.message)
    else:
        messages.success(request, "The rule has ended.")
    return redirect_to(request, _address(endpoint))


def _address(endpoint: Endpoint) -> str:
    return reverse("endpoint-objectives", args=[endpoint.environment.name, endpoint.name])
