"""An endpoint as monitoring knows it: where it lies, by name; and what watches it (reads the database)."""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from monitoring.models import AlertRule, MetricQuery, Objective, OutcomeDefinition
from registry.models import Environment, Model


@dataclass(frozen=True)
class WatchedEndpoint:
    """Where objectives and rules belong. That it exists, and who may see it, whoever asks has found out."""

    environment: Environment
    model: Model
    name: str

    @property
    def scopes(self) -> list[str]:
        return [self.environment.scope, self.model.scope]

    @property
    def fields(self) -> dict[str, Any]:
        """How rows name it."""
        return {"environment": self.environment, "model": self.model, "endpoint": self.name}

    def objectives(self) -> "QuerySet[Objective]":
        """Those that hold, with how they stand."""
        own = Objective.objects.filter(environment=self.environment, endpoint=self.name, ended_at=None)
        return own.select_related("environment", "model", "standing__objective")

    def rules(self) -> "QuerySet[AlertRule]":
        """Those that hold, with how they stand."""
        own = AlertRule.objects.filter(environment=self.environment, endpoint=self.name, ended_at=None)
        return own.select_related("environment", "model", "objective__environment", "standing__alert")

    def outcomes(self) -> "QuerySet[OutcomeDefinition]":
        """Those that are reported."""
        own = OutcomeDefinition.objects.filter(environment=self.environment, endpoint=self.name, ended_at=None)
        return own.select_related("environment", "model")

    def metric_queries(self) -> "QuerySet[MetricQuery]":
        """Those that are asked."""
        own = MetricQuery.objects.filter(environment=self.environment, endpoint=self.name, ended_at=None)
        return own.select_related("environment", "model")
