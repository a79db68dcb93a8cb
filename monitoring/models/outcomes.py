"""Outcomes: what became of requests, as clients report it later; and what of it an endpoint wants to know."""

import uuid
from typing import Literal, cast

from django.db import models

from monitoring.analysis.outcome_evidence import ValueScale
from monitoring.models.objectives import OfEndpoint


class OutcomeKind(models.TextChoices):
    BINARY = "binary", "Yes or no"
    NUMBER = "number", "Number"


class LargerIs(models.TextChoices):
    BETTER = "better", "Better"
    WORSE = "worse", "Worse"


class OutcomeDefinition(OfEndpoint):
    """An outcome that is reported for an endpoint: its name, whether it is yes or no (1 or 0) or a number between `low`
    and `high`, and which side of it is the worse one. It is ended and never changed, so that what was judged by it
    stays.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=40)
    kind = models.CharField(max_length=6, choices=OutcomeKind.choices)
    low = models.FloatField(default=0)
    high = models.FloatField(default=1)
    larger_is = models.CharField(max_length=6, choices=LargerIs.choices)
    unit = models.CharField(max_length=20, blank=True)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=150)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name", "-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["environment", "endpoint", "name"],
                condition=models.Q(ended_at__isnull=True),
                name="one_outcome_of_a_name",
            )
        ]

    def __str__(self) -> str:
        return f"{self.place}: {self.name}"

    @property
    def is_binary(self) -> bool:
        return self.kind == OutcomeKind.BINARY

    @property
    def scale(self) -> ValueScale:
        return ValueScale(self.low, self.high, cast('Literal["better", "worse"]', self.larger_is))

    @property
    def sentence(self) -> str:
        """What is reported, as people read it."""
        unit = f" {self.unit}" if self.unit else ""
        what = "yes or no" if self.is_binary else f"a number from {self.low:g} to {self.high:g}{unit}"
        side = "yes" if self.is_binary else "more"
        return f"{what}; {side} is {self.larger_is}"


class ReportedOutcome(models.Model):
    """One outcome of one request, or of one unit with one release.

    `key` is a keyed digest of what it is about: neither request nor unit is kept, of a unit its evidence bucket alone.
    `arm`, `version` and `release` answered, at `second` (Unix time). `observed_at` is when the value became known: of
    several posts for the same key the one that was observed last counts, and `corrections` says how often it replaced
    another value.
    """

    definition = models.ForeignKey(OutcomeDefinition, on_delete=models.CASCADE, related_name="outcomes")
    key = models.CharField(max_length=64)
    arm = models.CharField(max_length=20)
    version = models.PositiveIntegerField()
    release = models.CharField(max_length=36)
    second = models.BigIntegerField()
    bucket = models.PositiveSmallIntegerField(null=True, blank=True)
    value = models.FloatField()
    observed_at = models.DateTimeField()
    late_s = models.FloatField(help_text="From the request until its outcome first came.")
    corrections = models.PositiveIntegerField(default=0)
    posted_by = models.CharField(max_length=150)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["definition", "key"], name="one_outcome_per_key")]
        indexes = [
            models.Index(fields=["definition", "second", "arm"], name="outcome_by_time"),
            models.Index(fields=["second"], name="outcome_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.definition.name} {self.value:g}"
