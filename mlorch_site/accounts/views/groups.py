"""Groups of people: for those who give roles."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from mlorch_site.accounts.access import people_visible_to, person_for
from mlorch_site.accounts.consequences import consequences
from mlorch_site.accounts.forms import GroupForm, MemberForm
from mlorch_site.accounts.groups import group_create, group_for, groups_visible_to, member_add, member_remove
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.audit.middleware import sensitive
from mlorch_site.lib.errors import DomainError, Forbidden, Invalid, NotFound
from mlorch_site.lib.htmx import redirect_to
from mlorch_site.lib.lists import listed
from mlorch_site.lib.refusals import note_refused

PEOPLE_OFFERED = 200


@sensitive
@requires(Action.PEOPLE_MANAGE)
def groups(request: HttpRequest) -> HttpResponse:
    """List groups with their members; make one."""
    actor = actor_of(request)
    actor.require(Action.PEOPLE_MANAGE)
    form = GroupForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = group_create(actor=actor, name=form.cleaned_data["name"])
            messages.success(request, f"The group {made.name} is there, with nobody in it.")
            return redirect_to(request, reverse("group", args=[made.name]))
        except Invalid as error:
            form.add_error("name", error.message)
    context = {**listed(request, groups_visible_to(actor)), "form": form}
    return render(request, "accounts/groups.html", context, status=422 if form.errors else 200)


@sensitive
@requires(Action.PEOPLE_MANAGE)
def group(request: HttpRequest, name: str) -> HttpResponse:
    """Show a group; put somebody into it."""
    return _group(request, name, MemberForm(request.POST or None), member_add, "{} is in the group.")


@requires(Action.PEOPLE_MANAGE)
@require_POST
def group_remove(request: HttpRequest, name: str) -> HttpResponse:
    """Take somebody out of a group."""
    return _group(request, name, MemberForm(request.POST), member_remove, "{} is not in the group any more.")


def _group(request: HttpRequest, name: str, form: MemberForm, service: object, done: str) -> HttpResponse:
    """Change who is in the group, when something was posted, and show it."""
    actor = actor_of(request)
    found = group_for(actor, name)
    if request.method == "POST" and form.is_valid():
        try:
            user = person_for(actor, form.cleaned_data["person"])
            service(actor=actor, group=found, user=user, reason=form.cleaned_data["reason"])  # type: ignore[operator]
        except DomainError as error:
            if isinstance(error, Forbidden):
                note_refused(request, error)
            form.add_error("person" if isinstance(error, NotFound) else None, error.message)
        else:
            messages.success(request, done.format(user.username))
            for sentence in consequences():
                messages.warning(request, sentence)
            return redirect_to(request, reverse("group", args=[name]))
    offered = people_visible_to(actor).filter(is_active=True).exclude(groups=found)
    context = {"group": found, "form": form, "offered": offered[:PEOPLE_OFFERED]}
    return render(request, "accounts/group.html", context, status=422 if form.errors else 200)
