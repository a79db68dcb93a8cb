"""A person's own absences."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from mlorch_site.accounts.absences import absence_end, absence_say, absences_of, today_of
from mlorch_site.accounts.forms import AbsenceForm
from mlorch_site.accounts.route_permission import signed_in
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid
from mlorch_site.lib.htmx import redirect_to


@signed_in
def absences(request: HttpRequest) -> HttpResponse:
    """List the person's absences; say one."""
    actor, now = actor_of(request), clock.now()
    assert actor.user is not None  # the route asks for a person
    form = AbsenceForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            absence = absence_say(actor=actor, **form.cleaned_data)
        except (Invalid, Conflict) as error:
            form.add_error(next((name for name in error.details if name in form.fields), None), error.message)
        else:
            messages.success(request, f"You are absent from {absence.first_day} to {absence.last_day}.")
            return redirect_to(request, reverse("absences"))
    standing, over = absences_of(actor.user, now)
    context = {"form": form, "standing": standing, "over": over, "today": today_of(actor.user, now)}
    return render(request, "accounts/absences.html", context, status=422 if form.errors else 200)


@signed_in
@require_POST
def absence_over(request: HttpRequest, number: int) -> HttpResponse:
    """Take an absence back, or come back early."""
    absence_end(actor=actor_of(request), number=number)
    messages.success(request, "You are not absent any more.")
    return redirect_to(request, reverse("absences"))
