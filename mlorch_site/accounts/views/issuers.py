"""Who may vouch for people: the page of administrators."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from mlorch_site.accounts.issuer_forms import IssuerForm, RuleForm
from mlorch_site.accounts.models import SignOnIssuer
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.accounts.sign_on.issuer_writing import (
    issuer_create,
    issuer_edit,
    rule_add,
    rule_remove,
    written_issuer,
)
from mlorch_site.accounts.sign_on.issuers import GroupRule, file_problem, issuers
from mlorch_site.audit.middleware import sensitive
from mlorch_site.lib.errors import Conflict, DomainError, Invalid
from mlorch_site.lib.htmx import redirect_to


@sensitive
@requires(Action.PEOPLE_MANAGE)
def issuer_list(request: HttpRequest) -> HttpResponse:
    """List who may vouch for people, of this page and of the installation's file."""
    actor_of(request).require(Action.PEOPLE_MANAGE)
    return render(request, "accounts/issuers.html", {"issuers": issuers(), "file_problem": file_problem()})


@requires(Action.PEOPLE_MANAGE)
@sensitive_post_parameters("secret")
def issuer_new(request: HttpRequest) -> HttpResponse:
    """Write down an issuer."""
    actor = actor_of(request)
    actor.require(Action.PEOPLE_MANAGE)
    form = IssuerForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            row = issuer_create(actor=actor, **form.arguments())
            messages.success(request, f"{row.name} may vouch for people. Say now what its groups give.")
            return redirect_to(request, reverse("issuer", args=[row.slug]))
        except Invalid as error:
            refuse(form, error)
    return render(request, "accounts/issuer_new.html", {"form": form}, status=422 if form.errors else 200)


def refuse(form: Any, error: DomainError) -> None:
    """Put what was refused at its field."""
    form.add_error(next((name for name in error.details if name in form.fields), None), error.message)


@requires(Action.PEOPLE_MANAGE)
@sensitive_post_parameters("secret")
def issuer(request: HttpRequest, slug: str) -> HttpResponse:
    """Show an issuer with its rules; change it."""
    actor = actor_of(request)
    actor.require(Action.PEOPLE_MANAGE)
    row = written_issuer(slug)
    form = IssuerForm.of(row, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            row = issuer_edit(actor=actor, row=row, **form.changes())
            messages.success(request, "Saved.")
            return redirect_to(request, reverse("issuer", args=[slug]))
        except (Invalid, Conflict) as error:
            refuse(form, error)
    return _page(request, row, form, RuleForm(initial={"seen": row.version}))


def _page(request: HttpRequest, row: SignOnIssuer, form: IssuerForm, rule: RuleForm) -> HttpResponse:
    back = request.build_absolute_uri(reverse("sign-on-back", args=[row.slug]))
    ended = request.build_absolute_uri(reverse("sign-on-ended", args=[row.slug]))
    context = {
        "row": row,
        "form": form,
        "rule_form": rule,
        "rules": [GroupRule(**known) for known in row.rules],
        "back": back,
        "ended": ended,
    }
    return render(request, "accounts/issuer.html", context, status=422 if form.errors or rule.errors else 200)


@requires(Action.PEOPLE_MANAGE)
@require_POST
def issuer_rule_add(request: HttpRequest, slug: str) -> HttpResponse:
    """Let a group of the issuer give something."""
    actor = actor_of(request)
    actor.require(Action.PEOPLE_MANAGE)
    row, form = written_issuer(slug), RuleForm(request.POST)
    if form.is_valid():
        try:
            rule_add(actor=actor, row=row, **form.arguments())
            messages.success(request, "It gives that from the next sign-on of each person on.")
            return redirect_to(request, reverse("issuer", args=[slug]))
        except (Invalid, Conflict) as error:
            refuse(form, error)
    return _page(request, row, IssuerForm.of(row), form)


@requires(Action.PEOPLE_MANAGE)
@require_POST
def issuer_rule_remove(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Take a rule of the issuer away, and what it gave."""
    actor = actor_of(request)
    actor.require(Action.PEOPLE_MANAGE)
    seen = request.POST.get("seen", "")
    try:
        rule_remove(
            actor=actor, row=written_issuer(slug), number=number, expected=int(seen) if seen.isdecimal() else -1
        )
        messages.success(request, "The rule is gone, and so is what only it gave.")
    except Conflict as error:
        messages.error(request, error.message)
    return redirect_to(request, reverse("issuer", args=[slug]))
