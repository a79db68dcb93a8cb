"""The question before a missing model is declared to be another one: it says exactly what changes."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from deployments.selectors import endpoints_visible_to, gateway_keys_visible_to
from deployments.services.keys import keys_of
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid
from mlorch_site.lib.htmx import redirect_to
from registry.models import Model
from registry.rename_candidates import rename_effect
from registry.selectors import model_for, people_of_model
from registry.services import rename_declare


@requires(Action.MODEL_EDIT)
def model_rename(request: HttpRequest, name: str, other: str) -> HttpResponse:
    """Show what it changes that the missing model `name` is the model `other`, and declare it."""
    actor = actor_of(request)
    missing = model_for(actor, name, action=Action.MODEL_EDIT, gone=True)
    found = model_for(actor, other, action=Action.MODEL_EDIT)
    if request.method != "POST":
        context = {"missing": missing, "found": found, "effect": rename_effect(missing, found)}
        context |= {**_hanging_on(actor, missing), "people": people_of_model(missing)}
        return render(request, "deployments/rename.html", context)
    expects, reason = request.POST.get("expects", ""), request.POST.get("reason", "")
    try:
        rename_declare(actor=actor, missing=missing, found=found, expects=expects, reason=reason)
    except (Conflict, Invalid) as error:
        messages.error(request, error.message)
        return redirect_to(request, reverse("model-rename", args=[name, other]))
    messages.success(request, f"{name} goes on as {other}, with everything that hangs on it.")
    return redirect_to(request, reverse("model", args=[other]))


def _hanging_on(actor: Actor, model: Model) -> dict[str, Any]:
    """The endpoints of a model with the keys that open each, as far as the actor may see them, and how many more there
    are.
    """
    now, known = clock.now(), set(gateway_keys_visible_to(actor).values_list("pk", flat=True))
    seen = list(endpoints_visible_to(actor).filter(model=model))
    rows = [(endpoint, [key.name for key in keys_of(endpoint, now) if key.pk in known]) for endpoint in seen]
    return {"endpoints": rows, "unseen": model.endpoints.count() - len(seen)}
