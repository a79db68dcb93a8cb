"""Filters of people, for the page and for REST."""

from django.db.models import Exists, OuterRef, Q, QuerySet
from django_filters import CharFilter

from mlorch_site.accounts.models import RoleBinding, User
from mlorch_site.accounts.roles import EVERYWHERE, Role
from mlorch_site.accounts.scopes import scope_choices
from mlorch_site.lib import clock
from mlorch_site.lib.lists import TEXT_MAX_CHARS, Choices, Filters, choice_box, search_box


def roles() -> Choices:
    return [("", "Any role"), *((role.value, role.label) for role in Role)]


def environments() -> Choices:
    names = dict(scope_choices()).get("Environment", [])
    return [("", "Any environment"), *((name, name) for _, name in names)]


def states() -> Choices:
    return [("", "Active and switched off"), ("active", "Active"), ("off", "Switched off")]


class PersonFilter(Filters):
    """People whose name holds `q`, who hold a role, and hold it in an environment: there or everywhere."""

    q = CharFilter(method="search", max_length=TEXT_MAX_CHARS, widget=search_box("Search people"))
    role = CharFilter(method="leave", widget=choice_box("Role", roles))
    environment = CharFilter(method="leave", widget=choice_box("Environment", environments))
    state = CharFilter(method="by_state", widget=choice_box("State", states))

    def search(self, people: QuerySet[User], name: str, text: str) -> QuerySet[User]:
        named = Q(username__icontains=text) | Q(first_name__icontains=text) | Q(last_name__icontains=text)
        return people.filter(named)

    def by_state(self, people: QuerySet[User], name: str, state: str) -> QuerySet[User]:
        return people.filter(is_active=state == "active") if state in ("active", "off") else people.none()

    def leave(self, people: QuerySet[User], name: str, value: str) -> QuerySet[User]:
        """Role and environment are of one binding, so they are looked for together."""
        return people

    def filter_queryset(self, people: QuerySet[User]) -> QuerySet[User]:
        found: QuerySet[User] = super().filter_queryset(people)
        held = RoleBinding.objects.in_force(clock.now()).filter(user=OuterRef("pk"))
        role, environment = (self.form.cleaned_data.get(name) for name in ("role", "environment"))
        if role:
            held = held.filter(role=role)
        if environment:
            held = held.filter(scope__in=[EVERYWHERE, f"environment:{environment}"])
        return found.filter(Exists(held)) if role or environment else found
