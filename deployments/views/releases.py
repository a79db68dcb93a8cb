"""Pages of releases: list, new, live, report, and the controls."""

import json
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from deployments import selectors, services
from deployments.earlier_release import asked_again, guardrail_fields, strategy_fields
from deployments.filters import ReleaseFilter
from deployments.forms import ReleaseForm
from deployments.lifecycle import RELEASE_LOOKS, ReleaseStatus
from deployments.models import QueuedRequest, Release
from deployments.plan_template_selectors import plan_template_for
from deployments.release_defaults import release_defaults
from deployments.views import rollout_page
from deployments.views.release_charts import finished_points
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid, NotFound
from mlorch_site.lib.htmx import redirect_to, render_page
from mlorch_site.lib.lists import listed
from monitoring.release_rates import RolledOut, release_rates

REFILLING = ("model", "environment", "endpoint", "template")
CONTROLS = {
    "pause": (Action.RELEASE_PAUSE, services.release_pause, "The rollout is paused."),
    "resume": (Action.RELEASE_PAUSE, services.release_resume, "The rollout goes on."),
    "promote": (Action.RELEASE_PROMOTE, services.release_promote, "The new version takes all traffic."),
    "abort": (Action.RELEASE_ABORT, services.release_abort, "The release is being ended."),
}


@requires(Action.VIEW)
def releases(request: HttpRequest) -> HttpResponse:
    """List releases; filters are in the address."""
    actor = actor_of(request)
    context = listed(request, selectors.releases_visible_to(actor), ReleaseFilter)
    rates = release_rates(_rolled_out(context["page"]), clock.now())
    context |= {
        "rows": [
            (release, RELEASE_LOOKS[ReleaseStatus(release.status)], rates.get(str(release.pk), []))
            for release in context["page"]
        ],
        "why_not_request": "" if actor.may_anywhere(Action.RELEASE_REQUEST) else actor.why_not(Action.RELEASE_REQUEST),
    }
    return render_page(request, "deployments/releases.html", "deployments/_releases.html", context)


def _rolled_out(releases: Iterable[Release]) -> Iterator[RolledOut]:
    """Where and when those of the releases rolled out that have begun to."""
    now = clock.now()
    for one in releases:
        if one.started_at is not None:
            place = one.endpoint
            yield RolledOut(place.environment.name, place.name, str(one.pk), one.started_at, one.ended_at or now)


@requires(Action.RELEASE_REQUEST)
def release_new(request: HttpRequest) -> HttpResponse:
    """Ask for a release."""
    earlier = _earlier(request)
    form = _form(request, request.POST if request.method == "POST" else request.GET, earlier=earlier)
    busy = None
    if request.method == "POST" and form.is_valid():
        try:
            ask = services.release_request_or_queue if "queue" in request.POST else services.release_request
            release = ask(actor=actor_of(request), command=form.command())
        except Invalid as error:
            form.add_problems(error)
        except Conflict as error:
            form.add_error(None, error.message)
            busy = _in_the_way(error)
        else:
            return _asked(request, release)
    return render(
        request,
        "deployments/release_new.html",
        {"form": form, "earlier": earlier, "busy": busy},
        status=200 if request.method == "GET" else 400 if form.errors else 200,
    )


def _asked(request: HttpRequest, asked: Release | QueuedRequest) -> HttpResponse:
    if isinstance(asked, Release):
        return redirect_to(request, reverse("release", args=[asked.pk]))
    messages.success(request, f"{asked} waits in the queue; it is requested in your name when its turn comes.")
    endpoint = asked.endpoint
    return redirect_to(request, reverse("endpoint", args=[endpoint.environment.name, endpoint.name]) + "#queue-title")


def release_form_of(request: HttpRequest) -> ReleaseForm:
    """The form as it was posted, for another view that takes the plan out of it."""
    return _form(request, request.POST)


def _in_the_way(error: Conflict) -> dict[str, Any] | None:
    """The open release for which another cannot be requested, and whether that one can supersede it."""
    if error.code != "endpoint_busy":
        return None
    return {"release": error.details["release"], "is_live": error.details["status"] in selectors.LIVE}


def _earlier(request: HttpRequest) -> Release | None:
    """The release that the form is to be filled in like, None where none is named. Raises NotFound."""
    pk = request.GET.get("like", "")
    return selectors.release_for(actor_of(request), pk) if pk else None


def _form(request: HttpRequest, given: QueryDict, *, chosen: str = "", earlier: Release | None = None) -> ReleaseForm:
    """The form with what is offered for the place in it. What was `given` wins over the defaults and over the `earlier`
    release, but not over the defaults of the field that was `chosen` just now.
    """
    values = {**(asked_again(earlier) if earlier else {}), **given.dict()}
    defaults = release_defaults(
        actor_of(request),
        model=values.get("model", ""),
        environment=values.get("environment", ""),
        endpoint=values.get("endpoint", "") if chosen in ("", "endpoint") else "",
    )
    anew = {"model": defaults.of_model, "environment": defaults.of_environment}.get(chosen, {})
    if chosen == "template" or (chosen == "" and request.method == "GET"):
        anew = _of_template(request, values.get("template", ""))
    initial = {**defaults.of_environment, **defaults.of_model, **values, **anew}
    posted = request.POST if request.method == "POST" and not chosen else None
    return ReleaseForm(posted, actor=actor_of(request), defaults=defaults, initial=initial)


def _of_template(request: HttpRequest, pk: str) -> dict[str, Any]:
    """The form's fields as a template has them; nothing without one, or for one that is not there."""
    try:
        template = plan_template_for(actor_of(request), pk)
    except NotFound:
        return {}
    return {**strategy_fields(template.strategy), **guardrail_fields(template.guardrails)}


@requires(Action.RELEASE_REQUEST)
@require_POST
def release_form(request: HttpRequest) -> HttpResponse:
    """The form again after a model or an environment was chosen, with what belongs to the choice filled in."""
    chosen = request.headers.get("HX-Trigger-Name", "")
    if chosen not in REFILLING:
        raise Invalid(f"Only a choice of {', '.join(REFILLING)} fills the form anew.", details={"chosen": "unknown"})
    form = _form(request, request.POST, chosen=chosen)
    return render(request, "deployments/release_new.html", {"form": form})


@requires(Action.RELEASE_REQUEST)
@require_POST
def release_preview(request: HttpRequest) -> HttpResponse:
    """Say what the release in the form would do and need."""
    form = _form(request, request.POST)
    preview = services.release_preview(actor=actor_of(request), command=form.command()) if form.is_valid() else None
    empty = {name for name, errors in form.errors.as_data().items() if any(e.code == "required" for e in errors)}
    context = {
        "preview": preview,
        "offers": [(offer.label, json.dumps(strategy_fields(offer.strategy))) for offer in preview.offers]
        if preview
        else [],
        "missing": [form[name].label for name in form.fields if name in empty],
        "wrong": {form[name].label: errors for name, errors in form.errors.items() if name not in empty},
    }
    return render(request, "deployments/_preview.html", context)


@requires(Action.VIEW)
def release(request: HttpRequest, pk: str) -> HttpResponse:
    """Show one release, live."""
    found = selectors.release_for(actor_of(request), pk)
    context = rollout_page.context_of(actor_of(request), found)
    context["points"] = partial(finished_points, found)  # read by the whole page alone, which is asked for once
    return render_page(request, "deployments/release.html", "deployments/_release.html", context)


@requires(Action.VIEW)
@require_POST
def release_action(request: HttpRequest, pk: str, action: str) -> HttpResponse:
    """Carry out one control of a rollout."""
    if action not in CONTROLS:
        raise NotFound("There is no such control.")
    needed, service, done = CONTROLS[action]
    found = selectors.release_for(actor_of(request), pk, action=needed)
    _do(request, done, service, release=found, reason=request.POST.get("reason", ""))
    return redirect_to(request, reverse("release", args=[pk]))


def _do(request: HttpRequest, done: str, service: Any, **arguments: Any) -> None:
    """Call a service and tell the person how it went."""
    try:
        service(actor=actor_of(request), **arguments)
    except (Conflict, Invalid) as error:
        messages.error(request, error.message)
    else:
        messages.success(request, done)
