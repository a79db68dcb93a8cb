"""What was sent, what waits, what was given up; and sending it once more."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.errors import Conflict, Invalid, Unavailable
from mlorch_site.lib.htmx import redirect_to, render_page
from mlorch_site.lib.lists import listed
from mlorch_site.notices.deliveries import delivery_replay, delivery_seen, mail_test
from mlorch_site.notices.filters import DeliveryFilter
from mlorch_site.notices.kinds import kind_label
from mlorch_site.notices.lifecycle import DELIVERY_LOOKS, DELIVERY_MOVES, DeliveryStatus
from mlorch_site.notices.models import Delivery
from mlorch_site.notices.selectors import SendingProblems, deliveries_visible_to, delivery_for, sending_problems

ACTS = {
    "replay": (delivery_replay, "It is sent once more, under the same id."),
    "seen": (delivery_seen, "Noted. It is shown as a finding no more."),
}


@requires(Action.NOTICE_MANAGE)
def deliveries(request: HttpRequest) -> HttpResponse:
    """List deliveries, newest first; filters are in the address."""
    actor = actor_of(request)
    context = listed(request, deliveries_visible_to(actor), DeliveryFilter)
    problems = sending_problems(actor)
    context |= {"rows": [row_of(delivery) for delivery in context["page"]], "problems": problems}
    context["why_not_test"] = why_not_test(actor, problems)
    return render_page(request, "notices/deliveries.html", "notices/_deliveries.html", context)


def row_of(delivery: Delivery) -> dict[str, Any]:
    """A delivery as a list shows it."""
    look = DELIVERY_LOOKS[DeliveryStatus(delivery.status)]
    return {"delivery": delivery, "look": look, "label": kind_label(delivery.kind)}


def why_not_test(actor: Actor, problems: SendingProblems) -> str:
    """Why no e-mail can be tried, empty when one can."""
    if not problems.mail_is_configured:
        return "No mail server is configured (MLORCH_SMTP_URL)."
    return "" if actor.user and actor.user.email else "You have no e-mail address."


@requires(Action.NOTICE_MANAGE)
def delivery(request: HttpRequest, pk: str) -> HttpResponse:
    """Show one delivery with all its attempts."""
    found = delivery_for(actor_of(request), pk)
    may_replay = DeliveryStatus.WAITING in DELIVERY_MOVES[DeliveryStatus(found.status)]
    why_not = "" if may_replay else f"It is {DELIVERY_LOOKS[DeliveryStatus(found.status)].label.lower()}."
    context = {**row_of(found), "tries": found.tries.all(), "why_not_replay": why_not}
    return render_page(request, "notices/delivery.html", "notices/_delivery.html", context)


@requires(Action.NOTICE_MANAGE)
@require_POST
def delivery_action(request: HttpRequest, pk: str, action: str) -> HttpResponse:
    """Send a delivery once more, or take note that it was given up."""
    actor = actor_of(request)
    found = delivery_for(actor, pk)
    if action not in ACTS:
        raise Invalid("A delivery is sent once more (replay) or taken note of (seen).", details={"action": "unknown"})
    service, done = ACTS[action]
    try:
        service(actor=actor, delivery=found)
    except Conflict as error:
        messages.error(request, error.message)
    else:
        messages.success(request, done)
    return redirect_to(request, reverse("delivery", args=[pk]))


@requires(Action.NOTICE_MANAGE)
@require_POST
def mail_try(request: HttpRequest) -> HttpResponse:
    """Send oneself an e-mail, to see whether it arrives."""
    try:
        made = mail_test(actor=actor_of(request))
    except (Invalid, Unavailable) as error:
        messages.error(request, error.message)
        return redirect_to(request, reverse("deliveries"))
    messages.success(request, "A test is on its way to your e-mail address; its attempts are shown here.")
    return redirect_to(request, reverse("delivery", args=[made.pk]))
