"""The question before a release begins without its approvals, and the reviews that follow."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from deployments.models import Release
from deployments.selectors import release_for
from deployments.services.emergency import gates_told, release_emergency, why_no_release_emergency
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from mlorch_site.lib.htmx import redirect_to
from mlorch_site.lib.http import status_of
from mlorch_site.lib.lists import listed
from mlorch_site.lib.refusals import note_refused
from registry.approvals.emergencies import REASON_MAX_CHARS, TICKET_MAX_CHARS, skipped_of
from registry.approvals.reviews import (
    FINDING_MAX_CHARS,
    review_close,
    review_for,
    reviews_visible_to,
    why_cannot_review,
)
from registry.models import Emergency
from registry.selectors import why_closed


class EmergencyForm(forms.Form):
    """Why a release cannot wait for its approvals."""

    reason = forms.CharField(
        max_length=REASON_MAX_CHARS,
        label="Why it cannot wait",
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 3}),
    )
    ticket = forms.CharField(max_length=TICKET_MAX_CHARS, widget=forms.TextInput(attrs={"class": "form-control"}))
    known = forms.BooleanField(
        label="I know that the people named here have not approved this",
        widget=forms.CheckboxInput(attrs={"class": "form-check-input"}),
    )
    expects = forms.CharField(widget=forms.HiddenInput)


class FindingForm(forms.Form):
    """What a review found."""

    finding = forms.CharField(
        max_length=FINDING_MAX_CHARS,
        label="What you found",
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 4}),
    )


@requires(Action.VIEW)
def release_emergency_ask(request: HttpRequest, pk: str) -> HttpResponse:
    """Show what an emergency would skip and what holds all the same; a POST begins the release."""
    actor = actor_of(request)
    found = release_for(actor, pk)
    expects = found.approval.content_hash if found.approval else ""
    form = EmergencyForm(request.POST or None, initial={"expects": expects})
    status = 200
    if request.method == "POST":
        if form.is_valid():
            values = {name: form.cleaned_data[name] for name in ("expects", "reason", "ticket")}
            try:
                release_emergency(actor=actor, release=found, **values)
            except (Invalid, Conflict, Forbidden) as error:
                status = _refuse(request, form, error)
            else:
                messages.success(
                    request, "The release begins without its approvals. Everybody who was skipped is told."
                )
                return redirect_to(request, reverse("release", args=[pk]))
        else:
            status = 400
    return render(request, "deployments/emergency.html", _emergency(actor, found, form), status=status)


def _refuse(request: HttpRequest, form: forms.Form, error: Invalid | Conflict | Forbidden) -> int:
    """Show why at the fields it is about, so that nothing that was written is lost."""
    if isinstance(error, Forbidden):
        note_refused(request, error)
    named = {name: text for name, text in error.details.items() if name in form.fields}
    for name, text in named.items():
        form.add_error(name, text)
    if not named:
        form.add_error(None, error.message)
    return status_of(error)


def _emergency(actor: Actor, release: Release, form: forms.Form) -> dict[str, Any]:
    approval = release.approval
    return {
        "release": release,
        "form": form,
        "skipped": skipped_of(approval) if approval else {"rules": [], "people": []},
        "gates": gates_told(release),
        "closed": why_closed(release.endpoint.environment, clock.now(), release.endpoint.model),
        "why_not": why_no_release_emergency(actor, release),
    }


@requires(Action.VIEW)
def reviews(request: HttpRequest) -> HttpResponse:
    """List emergencies with their reviews, open ones first."""
    context = listed(request, reviews_visible_to(actor_of(request)))
    return render(request, "deployments/reviews.html", context)


@requires(Action.VIEW)
def review(request: HttpRequest, pk: str) -> HttpResponse:
    """Show an emergency with its review; a POST closes the review with what was found."""
    actor, status = actor_of(request), 200
    found = review_for(actor, pk)
    form = FindingForm(request.POST or None)
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                review_close(actor=actor, used=found, finding=form.cleaned_data["finding"])
            except (Invalid, Conflict, Forbidden) as error:
                status = _refuse(request, form, error)
            else:
                messages.success(request, "The review is closed.")
                return redirect_to(request, reverse("review", args=[pk]))
    return render(request, "deployments/review.html", _review(actor, found, form), status=status)


def _review(actor: Actor, used: Emergency, form: forms.Form) -> dict[str, Any]:
    release = Release.objects.select_related("endpoint__environment", "endpoint__model", "version__model").filter(
        approval=used.request
    )
    return {"used": used, "release": release.first(), "form": form, "why_not": why_cannot_review(actor, used)}
