"""References that drift is measured from, and what gateways counted of sampled requests."""

from datetime import timedelta

from django.db import models

from dataplane.wire import shapes
from dataplane.wire.feature_counts import FeatureCounts, FeaturePlan
from monitoring.drift.reference_features import ReferenceFeature
from monitoring.models.objectives import OfEndpoint

DRIFT_KEPT = timedelta(days=14)


class DriftReference(OfEndpoint):
    """What inputs of one version, or predictions of the endpoint, are held against.

    Inputs belong to a `version`; predictions have the version 0, because all versions are counted by the same bins, or
    arms could not be compared. Its `source` is the version's input example, or the first requests that were sampled
    (`learned`: while `is_learning`, their values wait in `learning`, column by column, and go with the last one).
    `digest` is the hash of the bins; counts of other bins are never compared with it.
    """

    version = models.PositiveIntegerField(default=0)
    source = models.CharField(max_length=10, choices=[("example", "example"), ("learned", "learned")])
    is_learning = models.BooleanField(default=False)
    features = models.JSONField(default=list)
    rows = models.PositiveIntegerField(default=0)
    digest = models.CharField(max_length=16, blank=True)
    learning = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=150)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["environment", "endpoint", "version"], name="one_drift_reference")
        ]

    def __str__(self) -> str:
        return f"{self.place} {f'version {self.version}' if self.version else 'predictions'}"

    def known_features(self) -> list[ReferenceFeature]:
        """The features with their bins and counts."""
        return [
            ReferenceFeature(
                shapes.convert(FeaturePlan, row["plan"]),
                shapes.convert(FeatureCounts, row["counts"]),
                tuple(row["labels"]),
            )
            for row in self.features
        ]


class DriftWindow(models.Model):
    """Counts of one arm's sampled requests in a minute, from one process of a gateway, as far as they have come.

    `inputs` and `predictions` are by feature as in docs/wire.md section 10; `plan` names the bins of both.
    """

    environment = models.CharField(max_length=40)
    endpoint = models.CharField(max_length=80)
    arm = models.CharField(max_length=20)
    version = models.PositiveIntegerField()
    release = models.CharField(max_length=36)
    gateway = models.CharField(max_length=80)
    boot = models.CharField(max_length=36)
    start = models.DateTimeField()
    plan = models.CharField(max_length=64)
    requests = models.PositiveIntegerField()
    answers = models.PositiveIntegerField(default=0)
    unread = models.PositiveIntegerField(default=0)
    inputs = models.JSONField(default=dict)
    predictions = models.JSONField(default=dict)

    class Meta:
        indexes = [
            models.Index(fields=["environment", "endpoint", "start"], name="drift_by_endpoint"),
            models.Index(fields=["start"], name="drift_by_age"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["gateway", "boot", "environment", "endpoint", "arm", "version", "release", "start", "plan"],
                name="one_drift_window",
            )
        ]

    def __str__(self) -> str:
        return f"{self.endpoint}/{self.arm} {self.start:%H:%M} {self.requests} sampled requests"
