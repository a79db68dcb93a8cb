"""Filters of models, policies and approval requests, for the pages and for REST."""

from functools import partial
from typing import Any

from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from django.forms import HiddenInput
from django_filters import CharFilter

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.lists import TEXT_MAX_CHARS, Choices, Filters, choice_box, search_box
from registry.lifecycle import RiskTier
from registry.models import ApprovalRequest, Model, Policy
from registry.selectors import environments_visible_to

# How an inbox can be ordered: value → label and fields. The tier is ordered by how grave it is.
ORDERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "oldest": ("Oldest first", ("created_at", "pk")),
    "newest": ("Newest first", ("-created_at", "pk")),
    "deadline": ("Deadline first", ("expires_at", "pk")),
    "tier": ("Gravest tier first", ("-gravity", "created_at", "pk")),
}


def tiers() -> Choices:
    return [("", "Any tier"), *((tier.value, tier.value.capitalize()) for tier in RiskTier)]


def orders() -> Choices:
    return [("", "Order"), *((value, label) for value, (label, _) in ORDERS.items())]


def environment_names(actor: Actor) -> Choices:
    names = environments_visible_to(actor).values_list("name", flat=True)
    return [("", "Any environment"), *((name, name) for name in names)]


class ModelFilter(Filters):
    """Models whose name, description or owner holds `q`."""

    q = CharFilter(method="search", max_length=TEXT_MAX_CHARS, widget=search_box("Search models"))

    def search(self, models: QuerySet[Model], name: str, text: str) -> QuerySet[Model]:
        return models.filter(Q(name__icontains=text) | Q(description__icontains=text) | Q(owner__icontains=text))


class ApprovalFilter(Filters):
    """Requests by environment and risk tier, in an order; `q` is part of the title or of the requester's name."""

    tab = CharFilter(method="any", widget=HiddenInput)
    q = CharFilter(method="search", max_length=TEXT_MAX_CHARS, widget=search_box("Model, endpoint or requester"))
    environment = CharFilter("policy__environment__name")
    tier = CharFilter("risk_tier", widget=choice_box("Risk tier", tiers))
    order = CharFilter(method="ordered", widget=choice_box("Order", orders))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.request is not None:
            choices = partial(environment_names, actor_of(self.request))
            self.filters["environment"].extra["widget"] = choice_box("Environment", choices)

    def any(self, requests: QuerySet[ApprovalRequest], name: str, tab: str) -> QuerySet[ApprovalRequest]:
        return requests

    def search(self, requests: QuerySet[ApprovalRequest], name: str, text: str) -> QuerySet[ApprovalRequest]:
        return requests.filter(Q(title__icontains=text) | Q(requester__username__icontains=text))

    def ordered(self, requests: QuerySet[ApprovalRequest], name: str, order: str) -> QuerySet[ApprovalRequest]:
        if order not in ORDERS:
            return requests
        grave = [When(risk_tier=tier.value, then=Value(number)) for number, tier in enumerate(RiskTier, start=1)]
        gravity = Case(*grave, default=Value(0), output_field=IntegerField())
        return requests.annotate(gravity=gravity).order_by(*ORDERS[order][1])


def states() -> Choices:
    return [("", "In force"), ("retired", "Retired"), ("any", "All revisions")]


class PolicyFilter(Filters):
    """Revisions of policies by environment and state; without a word those in force."""

    environment = CharFilter("environment__name")
    state = CharFilter(method="by_state", widget=choice_box("State", states))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.request is not None:
            choices = partial(environment_names, actor_of(self.request))
            self.filters["environment"].extra["widget"] = choice_box("Environment", choices)

    @property
    def qs(self) -> QuerySet[Policy]:
        rows: QuerySet[Policy] = super().qs
        return rows if self.data.get("state") in ("retired", "any") else rows.filter(retired_at=None)

    def by_state(self, policies: QuerySet[Policy], name: str, state: str) -> QuerySet[Policy]:
        return policies.exclude(retired_at=None) if state == "retired" else policies
