"""Metrics of the user's own that a Prometheus server answers: where it is, what it is asked, and what it said."""

import uuid

from django.db import models

from monitoring.models.objectives import OfEndpoint
from registry.models import Environment


class PrometheusServer(models.Model):
    """The server that is asked for the metrics of an environment; its token is sealed. Another one ends it."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    url = models.CharField(max_length=300)
    sealed_token = models.TextField(blank=True)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=150)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["environment"], condition=models.Q(ended_at__isnull=True), name="one_prometheus_server"
            )
        ]

    def __str__(self) -> str:
        return f"{self.environment.name}: {self.url}"


class MetricQuery(OfEndpoint):
    """What is asked for each arm of an endpoint while a release is judged by it. `query` has named placeholders in
    double braces. A value older than `stale_after_s` is none. It is ended and never changed.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=40)
    query = models.CharField(max_length=1000)
    unit = models.CharField(max_length=20, blank=True)
    stale_after_s = models.PositiveIntegerField(default=120)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=150)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name", "-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["environment", "endpoint", "name"],
                condition=models.Q(ended_at__isnull=True),
                name="one_metric_query_of_a_name",
            )
        ]

    def __str__(self) -> str:
        return f"{self.place}: {self.name}"


class MetricReading(models.Model):
    """One answer, for one arm of a release. `value` is None when there is none that counts; `reason` says why."""

    query = models.ForeignKey(MetricQuery, on_delete=models.CASCADE, related_name="readings")
    release = models.CharField(max_length=36)
    arm = models.CharField(max_length=20)
    read_at = models.DateTimeField()
    measured_at = models.DateTimeField(null=True, blank=True)
    value = models.FloatField(null=True, blank=True)
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["query", "release", "id"], name="reading_of_release"),
            models.Index(fields=["read_at"], name="reading_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.query.name} of {self.arm}: {self.reason or self.value}"
