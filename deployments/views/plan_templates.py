"""Pages of plan templates: list, one with its revisions, and saving the plan of a release as one."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from deployments import selectors, services
from deployments.filters import PlanTemplateFilter
from deployments.forms import TemplateForm
from deployments.models import PlanTemplate
from deployments.plan_template_selectors import plan_template_for, plan_templates_visible_to
from deployments.rollout.guardrails import sentence_of
from deployments.rollout.strategies import compile_strategy, watch_seconds
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from mlorch_site.lib.htmx import redirect_to, render_page
from mlorch_site.lib.lists import listed


@requires(Action.VIEW)
def plan_templates(request: HttpRequest) -> HttpResponse:
    """List the templates that hold."""
    context = listed(request, plan_templates_visible_to(actor_of(request)), PlanTemplateFilter)
    return render_page(request, "deployments/plan_templates.html", "deployments/_plan_templates.html", context)


@requires(Action.VIEW)
def plan_template(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show one revision of a template, and the others."""
    actor = actor_of(request)
    found = plan_template_for(actor, pk)
    context = {
        "template": found,
        "steps": [step.title for step in compile_strategy(found.strategy)],
        "watch_s": watch_seconds(found.strategy),
        "guardrails": [sentence_of(row) for row in found.guardrails],
        "revisions": plan_templates_visible_to(actor).filter(name=found.name).order_by("-revision")[:REVISIONS_SHOWN],
        "why_not_end": actor.why_not(Action.ENDPOINT_MANAGE, found.scopes),
        "why_not_request": "" if actor.may_anywhere(Action.RELEASE_REQUEST) else actor.why_not(Action.RELEASE_REQUEST),
    }
    return render(request, "deployments/plan_template.html", context)


REVISIONS_SHOWN = 50


@requires(Action.ENDPOINT_MANAGE)
@require_POST
def plan_template_end(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Offer a template no longer."""
    found = plan_template_for(actor_of(request), pk)
    services.plan_template_end(actor=actor_of(request), template=found)
    messages.success(request, f"{found} is offered no longer.")
    return redirect_to(request, reverse("plan-template", args=[pk]))


@requires(Action.ENDPOINT_MANAGE)
def release_template(request: HttpRequest, pk: str) -> HttpResponse:
    """Save the plan of a release under a name."""
    release = selectors.release_for(actor_of(request), pk)
    kept = release.plan.get("template") or {}
    form = TemplateForm(request.POST or None, release=release, initial={"name": kept.get("name", "")})
    if request.method == "POST" and form.is_valid():
        try:
            made = services.plan_template_save(actor=actor_of(request), wish=form.wish())
        except Invalid as error:
            for name, sentence in (error.details or {"": error.message}).items():
                form.add_error(name if name in form.fields else None, str(sentence))
        except (Conflict, Forbidden) as error:
            form.add_error(None, error.message)
        else:
            return _saved(request, made)
    context: dict[str, Any] = {
        "release": release,
        "form": form,
        "steps": [step.title for step in compile_strategy(release.strategy)],
        "guardrails": [sentence_of(row) for row in release.guardrails],
    }
    status = 400 if form.errors else 200
    return render(request, "deployments/release_template.html", context, status=status)


def _saved(request: HttpRequest, made: PlanTemplate) -> HttpResponse:
    messages.success(request, f"{made} is offered {made.place}.")
    return redirect_to(request, reverse("plan-template", args=[made.pk]))
