"""Acts on the requests that wait for an endpoint; the endpoint's page shows them."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from deployments import services
from deployments.queue_selectors import queued_for
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.errors import Conflict, NotFound
from mlorch_site.lib.htmx import redirect_to

ACTS: dict[str, tuple[Any, str]] = {
    "withdraw": (services.queued_withdraw, "It was taken out of the queue."),
    "first": (services.queued_move_first, "It has the next turn."),
}


@requires(Action.VIEW)
@require_POST
def queued_act(request: HttpRequest, pk: UUID, act: str) -> HttpResponse:
    """Take a request out of its queue, or let it go first."""
    if act not in ACTS:
        raise NotFound("There is no such act.")
    queued = queued_for(actor_of(request), pk)
    service, done = ACTS[act]
    try:
        service(actor=actor_of(request), queued=queued)
    except Conflict as error:
        messages.error(request, error.message)
    else:
        messages.success(request, done)
    endpoint = queued.endpoint
    return redirect_to(request, reverse("endpoint", args=[endpoint.environment.name, endpoint.name]))
