"""Filters of models and policies, for the pages and for REST."""

from functools import partial
from typing import Any

from django.db.models import Q, QuerySet
from django_filters import CharFilter

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.lists import TEXT_MAX_CHARS, Choices, Filters, choice_box, search_box
from registry.models import Model, Policy
from registry.selectors import environments_visible_to


class ModelFilter(Filters):
    """Models whose name, description or owner holds `q`."""

    q = CharFilter(method="search", max_length=TEXT_MAX_CHARS, widget=search_box("Search models"))

    def search(self, models: QuerySet[Model], name: str, text: str) -> QuerySet[Model]:
        return models.filter(Q(name__icontains=text) | Q(description__icontains=text) | Q(owner__icontains=text))


def states() -> Choices:
    return [("", "In force"), ("retired", "Retired"), ("any", "All revisions")]


class PolicyFilter(Filters):
    """Revisions of policies by environment and state; without a word those in force."""

    environment = CharFilter("environment__name")
    state = CharFilter(method="by_state", widget=choice_box("State", states))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.request is not None:
            choices = partial(_environments, actor_of(self.request))
            self.filters["environment"].extra["widget"] = choice_box("Environment", choices)

    @property
    def qs(self) -> QuerySet[Policy]:
        rows: QuerySet[Policy] = super().qs
        return rows if self.data.get("state") in ("retired", "any") else rows.filter(retired_at=None)

    def by_state(self, policies: QuerySet[Policy], name: str, state: str) -> QuerySet[Policy]:
        return policies.exclude(retired_at=None) if state == "retired" else policies


def _environments(actor: Actor) -> Choices:
    names = environments_visible_to(actor).values_list("name", flat=True)
    return [("", "Any environment"), *((name, name) for name in names)]
