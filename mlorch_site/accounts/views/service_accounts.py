"""Service accounts: those one owns, or all to who manages people; their tokens, switch and owner."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from mlorch_site.accounts.access import held_bindings, person_for
from mlorch_site.accounts.forms import HandOverForm, ServiceAccountForm, ServiceTokenForm
from mlorch_site.accounts.models import ApiToken, User
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.accounts.service_accounts import (
    service_account_create,
    service_account_for,
    service_account_hand_over,
    service_account_switch,
    service_accounts_visible_to,
)
from mlorch_site.accounts.services import token_create, token_rotate
from mlorch_site.audit.middleware import sensitive
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, DomainError, Invalid, NotFound
from mlorch_site.lib.htmx import redirect_to
from mlorch_site.lib.lists import listed

OVERLAPS_H = {"0": "at once", "24": "in a day", "168": "in a week"}


def _refuse(form: Any, error: DomainError) -> None:
    form.add_error(next((name for name in error.details if name in form.fields), None), error.message)


@requires(Action.VIEW)
def service_accounts(request: HttpRequest) -> HttpResponse:
    """List service accounts; make one of one's own."""
    actor = actor_of(request)
    form = ServiceAccountForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            account = service_account_create(actor=actor, **form.cleaned_data)
            messages.success(request, f"{account.username} is made. Give it a token, and let somebody give it a role.")
            return redirect_to(request, reverse("service-account", args=[account.username]))
        except Invalid as error:
            _refuse(form, error)
    context = {**listed(request, service_accounts_visible_to(actor)), "form": form}
    return render(request, "accounts/service_accounts.html", context, status=422 if form.errors else 200)


@sensitive
@requires(Action.VIEW)
def service_account(request: HttpRequest, name: str) -> HttpResponse:
    """Show a service account: its tokens, its roles, who answers for it."""
    return _page(request, service_account_for(actor_of(request), name))


def _page(
    request: HttpRequest,
    account: User,
    form: ServiceTokenForm | None = None,
    owner_form: HandOverForm | None = None,
    secret: str = "",
) -> HttpResponse:
    now = clock.now()
    form, owner_form = form or ServiceTokenForm(), owner_form or HandOverForm(initial={"seen": account.owner_id})
    context = {
        **listed(request, ApiToken.objects.filter(user=account)),
        "account": account,
        "form": form,
        "owner_form": owner_form,
        "secret": secret,
        "bindings": [row for row in held_bindings(account, now) if row.is_in_force],
        "works": account.may_act,
        "overlaps": OVERLAPS_H.items(),
        "now": now,
        "may_manage": actor_of(request).may(Action.PEOPLE_MANAGE),
    }
    status = 422 if form.errors or owner_form.errors else 200
    return render(request, "accounts/service_account.html", context, status=status)


@requires(Action.VIEW)
@never_cache
@require_POST
def token_make(request: HttpRequest, name: str) -> HttpResponse:
    """Make a token of a service account; its secret is shown once."""
    actor = actor_of(request)
    account, form, secret = service_account_for(actor, name), ServiceTokenForm(request.POST), ""
    if form.is_valid():
        try:
            _, secret = token_create(actor=actor, user=account, **form.arguments())
            form = ServiceTokenForm()
        except Invalid as error:
            _refuse(form, error)
    return _page(request, account, form, secret=secret)


@requires(Action.VIEW)
@never_cache
@require_POST
def token_renew(request: HttpRequest, pk: str) -> HttpResponse:
    """Make the successor of a token; both work until the older one ends. Its secret is shown once."""
    actor, hours = actor_of(request), request.POST.get("overlap", "24")
    if hours not in OVERLAPS_H:
        raise Invalid("Choose when the token of before ends.", details={"overlap": "unknown"})
    token, secret = token_rotate(actor=actor, token_id=pk, overlap=timedelta(hours=int(hours)))
    context = {"token": token, "secret": secret, "old": token.replaces, "ends": OVERLAPS_H[hours]}
    return render(request, "accounts/token_rotated.html", context)


@requires(Action.VIEW)
@require_POST
def switch(request: HttpRequest, name: str) -> HttpResponse:
    """Switch a service account on or off."""
    actor = actor_of(request)
    account = service_account_for(actor, name)
    active = request.POST.get("active") == "on"
    try:
        service_account_switch(actor=actor, account=account, active=active, reason=request.POST.get("reason", ""))
        messages.success(request, "It is switched on." if active else "It is switched off; its tokens do not work.")
    except Invalid as error:
        messages.error(request, error.message)
    return redirect_to(request, reverse("service-account", args=[name]))


@requires(Action.PEOPLE_MANAGE)
@require_POST
def hand_over(request: HttpRequest, name: str) -> HttpResponse:
    """Let another person answer for a service account."""
    actor = actor_of(request)
    account, form = service_account_for(actor, name), HandOverForm(request.POST)
    if form.is_valid():
        values = form.cleaned_data
        try:
            owner = person_for(actor, values["owner"])
            service_account_hand_over(
                actor=actor, account=account, owner=owner, expected=values["seen"], reason=values["reason"]
            )
            messages.success(request, f"{owner} answers for it.")
            return redirect_to(request, reverse("service-account", args=[name]))
        except NotFound as error:
            form.add_error("owner", error.message)
        except (Invalid, Conflict) as error:
            _refuse(form, error)
    return _page(request, account, owner_form=form)
