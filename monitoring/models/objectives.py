"""Objectives of endpoints, and how they stand."""

import math
import uuid

from django.db import models

from monitoring.alerts.error_budget import ErrorBudget, GoodBad
from monitoring.alerts.lifecycle import ObjectiveKind
from registry.models import Environment, Model


class OfEndpoint(models.Model):
    """What belongs to an endpoint. Endpoints are another app's, so it has the environment, the endpoint's name, and
    the model, by whose scopes it is seen.
    """

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="+")
    endpoint = models.CharField(max_length=80)

    class Meta:
        abstract = True

    @property
    def place(self) -> str:
        """The endpoint as people read it."""
        return f"{self.environment.name}/{self.endpoint}"

    @property
    def scopes(self) -> list[str]:
        """The permission scopes it lies in."""
        return [self.environment.scope, self.model.scope]


class Objective(OfEndpoint):
    """What an endpoint is to keep: `target_pct` of its requests are good over `window_days` days.

    Availability: ok among ok, server errors and timeouts. Latency: answered within `slo_ms`, among all requests. A
    change makes another row, so that what an alert was about stays.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=12, choices=[(kind.value, kind.value) for kind in ObjectiveKind])
    slo_ms = models.FloatField(null=True, blank=True)
    target_pct = models.DecimalField(max_digits=6, decimal_places=3)
    window_days = models.PositiveSmallIntegerField(default=28)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=150)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["kind", "-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["environment", "endpoint", "kind"],
                condition=models.Q(ended_at__isnull=True),
                name="one_objective_of_a_kind",
            )
        ]

    def __str__(self) -> str:
        return f"{self.place}: {self.sentence}"

    @property
    def target_share(self) -> float:
        return float(self.target_pct) / 100

    @property
    def sentence(self) -> str:
        """The objective as people read it."""
        share = f"{float(self.target_pct):g} % of requests"
        what = "succeed" if self.slo_ms is None else f"are answered within {self.slo_ms:g} ms"
        return f"{share} {what}, over {self.window_days} days"


class ObjectiveStanding(models.Model):
    """What was counted of an objective over its days, up to `at`.

    `measured_days` of them had requests. `burn_rate` is that of the last hour, null without requests in it.
    """

    objective = models.OneToOneField(Objective, primary_key=True, on_delete=models.CASCADE, related_name="standing")
    at = models.DateTimeField()
    requests = models.PositiveBigIntegerField(default=0)
    bad = models.PositiveBigIntegerField(default=0)
    measured_days = models.PositiveSmallIntegerField(default=0)
    burn_rate = models.FloatField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.bad} of {self.requests} bad"

    @property
    def budget(self) -> ErrorBudget:
        return ErrorBudget(GoodBad(self.requests, self.bad), self.objective.target_share)

    @property
    def left_pct(self) -> int:
        """The percent of the budget that is left, 0 when it is spent; rounded down, so that 100 is an unused one."""
        spent = self.budget.spent_share
        return 0 if spent is None else max(0, math.floor(100 * (1 - spent)))

    @property
    def good_pct(self) -> str:
        """The percent of good requests, rounded down: what is not kept must not look as if it were."""
        return f"{(self.requests - self.bad) * 100_000 // self.requests / 1000:.3f} %" if self.requests else "–"
