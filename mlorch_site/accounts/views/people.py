"""People and their access: who may do what, where, and how they came by it; giving, extending and ending roles."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from mlorch_site.accounts.access import access_of, binding_for, held_at, people_with_roles, person_for
from mlorch_site.accounts.access_review import COLUMNS, access_review_note, access_review_rows
from mlorch_site.accounts.bindings import role_bind, role_extend, role_unbind, why_not_to
from mlorch_site.accounts.consequences import consequences
from mlorch_site.accounts.filters import PersonFilter
from mlorch_site.accounts.forms import BindingForm, EndForm, ExtendForm, scope_options
from mlorch_site.accounts.models import RoleBinding
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires, signed_in
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.audit.middleware import sensitive
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from mlorch_site.lib.htmx import redirect_to, render_page
from mlorch_site.lib.lists import TEXT_MAX_CHARS, listed
from mlorch_site.lib.refusals import note_refused
from mlorch_site.lib.spreadsheet import csv_lines


@sensitive
@requires(Action.PEOPLE_MANAGE)
def people(request: HttpRequest) -> HttpResponse:
    """List people with their roles; filters are in the address."""
    actor = actor_of(request)
    actor.require(Action.PEOPLE_MANAGE)
    context = listed(request, people_with_roles(actor, clock.now()), PersonFilter)
    return render_page(request, "accounts/people.html", "accounts/_people.html", context)


@signed_in
def own_access(request: HttpRequest) -> HttpResponse:
    """Show the person's own access: also to somebody without any role."""
    actor = actor_of(request)
    assert actor.user is not None  # the route asks for a person
    return render_page(request, "accounts/access.html", "accounts/_access.html", access_of(actor, actor.user))


@sensitive
@signed_in
def person_access(request: HttpRequest, name: str) -> HttpResponse:
    """Show a person's access to those who give roles, and to the person."""
    actor = actor_of(request)
    context = access_of(actor, person_for(actor, name))
    return render_page(request, "accounts/access.html", "accounts/_access.html", context)


@requires(Action.PEOPLE_MANAGE)
def role_give(request: HttpRequest, name: str) -> HttpResponse:
    """Give a person a role."""
    actor = actor_of(request)
    person = person_for(actor, name)
    form = BindingForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            role_bind(actor=actor, user=person, **form.arguments())
            messages.success(request, f"{person} has the role.")
            return redirect_to(request, reverse("person", args=[name]))
        except (Invalid, Conflict, Forbidden) as error:
            _refuse(request, error, form)
    context = {"person": person, "form": form, "why_not": why_not_to(actor, person)}
    return render(request, "accounts/give.html", context, status=422 if form.errors else 200)


def _refuse(
    request: HttpRequest, error: Invalid | Conflict | Forbidden, form: BindingForm | ExtendForm | EndForm
) -> None:
    if isinstance(error, Forbidden):
        note_refused(request, error)
    form.add_error(next((name for name in error.details if name in form.fields), None), error.message)


@requires(Action.PEOPLE_MANAGE)
def scopes_found(request: HttpRequest) -> HttpResponse:
    """Give what a role can be bound to, as far as it holds a text: to those who give roles everywhere."""
    actor_of(request).require(Action.PEOPLE_MANAGE)
    found = scope_options(request.GET.get("find", "")[:TEXT_MAX_CHARS])
    return render(request, "accounts/_scopes.html", {"groups": found[1:]})


@requires(Action.PEOPLE_MANAGE)
def binding(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Show a binding, to extend it or to end it."""
    found = binding_for(actor_of(request), name, number)
    return _binding(request, found, ExtendForm.of(found), EndForm())


def _binding(request: HttpRequest, found: RoleBinding, extend: ExtendForm, end: EndForm) -> HttpResponse:
    context = {
        "person": found.user,
        "row": held_at(found, clock.now()),
        "extend": extend,
        "end": end,
        "why_not": why_not_to(actor_of(request), found.user),
    }
    return render(request, "accounts/binding.html", context, status=422 if extend.errors or end.errors else 200)


@requires(Action.PEOPLE_MANAGE)
@require_POST
def binding_extend(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Let a binding hold for longer."""
    actor = actor_of(request)
    found = binding_for(actor, name, number)
    form = ExtendForm(request.POST, prefix="extend")
    if form.is_valid():
        try:
            role_extend(actor=actor, binding=found, **form.arguments())
            messages.success(request, "The binding is extended.")
            return redirect_to(request, reverse("person", args=[name]))
        except (Invalid, Conflict, Forbidden) as error:
            _refuse(request, error, form)
    return _binding(request, found, form, EndForm())


@requires(Action.PEOPLE_MANAGE)
@require_POST
def binding_end(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """End a binding; it stays as history."""
    actor = actor_of(request)
    found = binding_for(actor, name, number)
    form = EndForm(request.POST)
    if form.is_valid():
        try:
            role_unbind(actor=actor, binding=found, reason=form.cleaned_data["end_reason"])
            messages.success(request, "The binding is ended.")
            for sentence in consequences():
                messages.warning(request, sentence)
            return redirect_to(request, reverse("person", args=[name]))
        except (Invalid, Conflict) as error:
            _refuse(request, error, form)
    return _binding(request, found, ExtendForm.of(found), form)


@requires(Action.AUDIT_VIEW)
def access_review_csv(request: HttpRequest) -> StreamingHttpResponse:
    """Give every binding as CSV. That it was done is recorded too."""
    access_review_note(actor=actor_of(request), form="csv")
    headers = {"Content-Disposition": 'attachment; filename="access-review.csv"'}
    lines = csv_lines(COLUMNS, access_review_rows(clock.now()))
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)


@requires(Action.AUDIT_VIEW)
def access_review_json(request: HttpRequest) -> JsonResponse:
    """Give every binding as JSON. That it was done is recorded too."""
    access_review_note(actor=actor_of(request), form="json")
    headers = {"Content-Disposition": 'attachment; filename="access-review.json"'}
    return JsonResponse({"bindings": list(access_review_rows(clock.now()))}, headers=headers)
