"""Filters of alerts and of their rules, for the pages and for REST."""

from functools import partial
from typing import Any

from django.db.models import Q, QuerySet
from django_filters import CharFilter

from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.lists import TEXT_MAX_CHARS, Choices, Filters, choice_box, search_box
from monitoring.alerts.lifecycle import ALERT_LOOKS, RULE_LOOKS
from monitoring.models import Alert, AlertRule
from registry.filters import environment_names

ALERT_STATES = {
    "firing": Q(resolved_at=None, acknowledged_at=None),
    "acknowledged": Q(resolved_at=None, acknowledged_at__isnull=False),
    "resolved": Q(resolved_at__isnull=False),
}


def alert_states() -> Choices:
    return [("", "Any state"), *((name, look.label) for name, look in ALERT_LOOKS.items())]


def rule_states() -> Choices:
    return [("", "Any state"), *((state.value, look.label) for state, look in RULE_LOOKS.items())]


class WithEnvironment(Filters):
    """Filters of which one is an environment, out of those that the person may see."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.request is not None:
            choices = partial(environment_names, actor_of(self.request))
            self.filters["environment"].extra["widget"] = choice_box("Environment", choices)


class AlertFilter(WithEnvironment):
    """Alerts by state and place; `q` is part of the endpoint's or the model's name."""

    q = CharFilter(method="search", max_length=TEXT_MAX_CHARS, widget=search_box("Endpoint or model"))
    state = CharFilter(method="in_state", widget=choice_box("State", alert_states))
    environment = CharFilter("rule__environment__name")

    def in_state(self, alerts: QuerySet[Alert], name: str, state: str) -> QuerySet[Alert]:
        return alerts.filter(ALERT_STATES[state]) if state in ALERT_STATES else alerts.none()

    def search(self, alerts: QuerySet[Alert], name: str, text: str) -> QuerySet[Alert]:
        return alerts.filter(Q(rule__endpoint__icontains=text) | Q(rule__model__name__icontains=text))


class RuleFilter(WithEnvironment):
    """Rules by how they stand and place; `q` is part of the endpoint's or the model's name."""

    q = CharFilter(method="search", max_length=TEXT_MAX_CHARS, widget=search_box("Endpoint or model"))
    state = CharFilter("standing__state", widget=choice_box("State", rule_states))
    environment = CharFilter("environment__name")

    def search(self, rules: QuerySet[AlertRule], name: str, text: str) -> QuerySet[AlertRule]:
        return rules.filter(Q(endpoint__icontains=text) | Q(model__name__icontains=text))
