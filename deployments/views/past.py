"""Pages of the past: an endpoint, a model, an environment as they were at an instant. Nothing can be done there."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from deployments import selectors
from deployments.past.selectors import (
    endpoint_past,
    environment_past,
    model_past,
    why_facts_unknown,
    why_traffic_unknown,
)
from deployments.past.standing import standings
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Invalid
from mlorch_site.lib.htmx import redirect_to
from mlorch_site.lib.instant import read_instant
from mlorch_site.lib.lists import listed
from registry.selectors import environment_for, model_for

type_Read = Callable[[datetime], dict[str, Any]]


@requires(Action.VIEW)
def endpoint_then(request: HttpRequest, environment: str, name: str) -> HttpResponse:
    """Show an endpoint as it was."""
    found = selectors.endpoint_for(actor_of(request), environment, name)

    def read(instant: datetime) -> dict[str, Any]:
        past = endpoint_past(found, instant)
        return {"past": past, "near": past.near, "unknown": past.unknown}

    present = reverse("endpoint", args=[environment, name])
    return _page(request, "deployments/past_endpoint.html", {"endpoint": found, "present_url": present}, read)


@requires(Action.VIEW)
def model_then(request: HttpRequest, name: str) -> HttpResponse:
    """Show a model as it was: where it served, and which of its versions were known."""
    actor = actor_of(request)
    found = model_for(actor, name, gone=True)

    def read(instant: datetime) -> dict[str, Any]:
        past = model_past(actor, found, instant)
        context = listed(request, past.versions)
        known = past.known(context["page"].object_list)
        stood = standings(list(past.endpoints), instant)
        unknown = [*map(why_traffic_unknown, stood), why_facts_unknown(known)]
        return {**context, "past": past, "near": past.near, "known": known, "standings": stood, "unknown": unknown}

    present = reverse("model", args=[name])
    return _page(request, "deployments/past_model.html", {"model": found, "present_url": present}, read)


@requires(Action.VIEW)
def environment_then(request: HttpRequest, name: str) -> HttpResponse:
    """Show an environment as it was: its policy, and what its endpoints served."""
    actor = actor_of(request)
    found = environment_for(actor, name)

    def read(instant: datetime) -> dict[str, Any]:
        past = environment_past(actor, found, instant)
        context = listed(request, past.endpoints)
        stood = standings(list(context["page"].object_list), instant)
        unknown = [why_traffic_unknown(standing) for standing in stood]
        return {**context, "past": past, "near": past.near, "standings": stood, "unknown": unknown}

    present = reverse("environment", args=[name])
    return _page(request, "deployments/past_environment.html", {"environment": found, "present_url": present}, read)


def _page(request: HttpRequest, template: str, context: dict[str, Any], read: type_Read) -> HttpResponse:
    """The page at the instant that is asked for; without one the present page, and the reason where there is none."""
    if "at" not in request.GET:
        return redirect_to(request, context["present_url"])
    now = clock.now()
    context |= {"now": now, "past_url": request.path}
    try:
        instant = read_instant(request.GET["at"], zone=timezone.get_current_timezone(), now=now)
        context |= {"instant": instant, "in_field": min(_whole_second(instant), now), **read(instant)}
    except Invalid as error:
        return render(request, template, {**context, "problem": error.message}, status=400)
    context["unknown"] = [sentence for sentence in context["unknown"] if sentence]
    context |= {"earlier_url": _step_url(request, context["near"].earlier)}
    context |= {"later_url": _step_url(request, context["near"].later)}
    return render(request, template, context)


def _whole_second(instant: datetime) -> datetime:
    """The first whole second from `instant` on: a field shows no less, and what was so at the change still is."""
    return instant if not instant.microsecond else instant.replace(microsecond=0) + timedelta(seconds=1)


def _step_url(request: HttpRequest, moment: datetime | None) -> str:
    """The address of the same page at the moment of a change, to the microsecond; empty where there is none."""
    return f"{request.path}?{urlencode({'at': timezone.localtime(moment).isoformat()})}" if moment else ""
