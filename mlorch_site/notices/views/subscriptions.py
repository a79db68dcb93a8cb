"""Webhook subscriptions: who is told of what by webhooks, and their secrets."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.audit.middleware import sensitive
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from mlorch_site.lib.htmx import redirect_to
from mlorch_site.lib.http import status_of
from mlorch_site.lib.lists import listed
from mlorch_site.lib.refusals import note_refused
from mlorch_site.notices.forms import SubscriptionForm
from mlorch_site.notices.kinds import kind_label
from mlorch_site.notices.models import Subscription
from mlorch_site.notices.selectors import deliveries_visible_to, subscription_for, subscriptions_visible_to
from mlorch_site.notices.subscriptions import (
    subscription_create,
    subscription_disable,
    subscription_enable,
    subscription_end,
    subscription_rotate,
    subscription_test,
)
from mlorch_site.notices.views.deliveries import row_of

DELIVERIES_SHOWN = 25
DONE = {
    "test": "A test is on its way; its attempts are shown here.",
    "disable": "Nothing is sent to it until it is enabled again.",
    "enable": "It is told again, also of what waited meanwhile.",
    "end": "The subscription has ended.",
}


@sensitive
@requires(Action.NOTICE_MANAGE)
def subscriptions(request: HttpRequest) -> HttpResponse:
    """List subscriptions; make one, whose secret is shown once."""
    actor, made, secret, status = actor_of(request), None, "", 200
    form = SubscriptionForm(request.POST or None, actor=actor)
    if request.method == "POST" and form.is_valid():
        try:
            made, secret = subscription_create(actor=actor, wish=form.wish())
            form = SubscriptionForm(actor=actor)
        except Invalid as error:
            form.add_problems(error.details)
        except (Conflict, Forbidden) as error:
            if isinstance(error, Forbidden):
                note_refused(request, error)
            form.add_error(None, error.message)
            status = status_of(error)
    if form.errors and status == 200:
        status = 400
    rows = [(one, [kind_label(kind) for kind in one.kinds]) for one in subscriptions_visible_to(actor)]
    context = {"rows": rows, "form": form, "made": made, "secret": secret}
    return render(request, "notices/subscriptions.html", context, status=status)


@sensitive
@requires(Action.NOTICE_MANAGE)
def subscription(request: HttpRequest, pk: str) -> HttpResponse:
    """Show one subscription and what was sent to it."""
    return _page(request, subscription_for(actor_of(request), pk))


def _page(request: HttpRequest, found: Subscription, **more: Any) -> HttpResponse:
    rows = deliveries_visible_to(actor_of(request)).filter(subscription=found)
    context = listed(request, rows, page_size=DELIVERIES_SHOWN)
    context |= {
        "subscription": found,
        "labels": [kind_label(kind) for kind in found.kinds],
        "rows": [row_of(delivery) for delivery in context["page"]],
        "why_not_test": "" if found.is_active else "It is disabled; enable it first.",
    }
    return render(request, "notices/subscription.html", {**context, **more})


@requires(Action.NOTICE_MANAGE)
@require_POST
def subscription_action(request: HttpRequest, pk: str, action: str) -> HttpResponse:
    """Test, rotate the secret (which is shown once), disable, enable or end."""
    actor = actor_of(request)
    found, reason = subscription_for(actor, pk), request.POST.get("reason", "")
    if action == "rotate":
        found, secret = subscription_rotate(actor=actor, subscription=found)
        return _page(request, found, secret=secret)
    if action not in DONE:
        raise Invalid("A subscription is tested, rotated, disabled, enabled or ended.", details={"action": "unknown"})
    try:
        if action == "test":
            subscription_test(actor=actor, subscription=found)
        elif action == "enable":
            subscription_enable(actor=actor, subscription=found)
        else:
            service = subscription_disable if action == "disable" else subscription_end
            service(actor=actor, subscription=found, reason=reason)
    except Conflict as error:
        messages.error(request, error.message)
    else:
        messages.success(request, DONE[action])
    where = reverse("subscriptions") if action == "end" else reverse("subscription", args=[pk])
    return redirect_to(request, where)
