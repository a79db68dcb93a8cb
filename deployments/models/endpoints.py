"""Endpoints: what they should serve (goal), how, and who may call them."""

import uuid
from datetime import datetime

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

from deployments.lifecycle import Arm
from registry.models import Environment, Model, Version

ENDPOINT_NAME_PATTERN = r"^[a-z0-9]([a-z0-9\-]{0,61}[a-z0-9])?$"


class ServingConfig(models.Model):
    """One immutable revision of how an endpoint is served."""

    endpoint = models.ForeignKey("Endpoint", on_delete=models.CASCADE, related_name="configs")
    revision = models.PositiveIntegerField()
    replicas = models.PositiveSmallIntegerField(default=1)
    timeout_ms = models.PositiveIntegerField(default=10_000)
    max_in_flight = models.PositiveIntegerField(default=256)
    max_body_bytes = models.PositiveIntegerField(default=8 * 1024 * 1024)
    memory_limit_mb = models.PositiveIntegerField(default=2048)
    cpu_threads = models.PositiveSmallIntegerField(default=1)
    start_timeout_s = models.PositiveIntegerField(default=300)
    drain_s = models.PositiveIntegerField(default=10)
    max_restarts = models.PositiveSmallIntegerField(default=3)
    keep_previous_s = models.PositiveIntegerField(default=600, help_text="How long the replaced version stays warm.")
    max_batch_rows = models.PositiveIntegerField(
        default=64, help_text="Requests predicted together; 1: never together."
    )
    max_batch_delay_ms = models.PositiveIntegerField(default=5, help_text="While every replica is busy.")
    rows_independent = models.BooleanField(
        default=False,
        help_text="The model's answer for a row depends on that row alone, though its classes do not show it.",
    )
    nan_literal = models.BooleanField(
        default=False, help_text="NaN and Infinity in answers of MLflow's protocol stay as Python writes them."
    )
    retry_on_stable = models.BooleanField(
        default=False, help_text="A request that no replica of its arm could begin is answered by the stable arm."
    )
    log_share_pct = models.DecimalField(
        max_digits=6,
        decimal_places=3,
        default=0,
        help_text="Share of the requests that the gateway logs with their data.",
    )
    log_redacted = models.JSONField(default=list, blank=True, help_text="Columns whose values are not logged.")
    network = models.BooleanField(
        default=False, help_text="The model may use the network; without this grant it has none."
    )
    cost_per_replica_hour = models.DecimalField(max_digits=9, decimal_places=4, default=0)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ["endpoint", "-revision"]
        constraints = [models.UniqueConstraint(fields=["endpoint", "revision"], name="one_serving_config_revision")]

    def __str__(self) -> str:
        return f"{self.endpoint} serving config {self.revision}"


class Endpoint(models.Model):
    """A stable address in one environment that serves one model.

    `stable_release` is the last fully promoted release: what an automatic rollback returns to, and what a retired
    endpoint served and is restored to.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="endpoints")
    name = models.CharField(max_length=63, validators=[RegexValidator(ENDPOINT_NAME_PATTERN)])
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="endpoints")
    stable_release = models.ForeignKey("Release", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    retired_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when it serves nothing and takes no release."
    )
    row_version = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["environment__position", "name"]
        constraints = [models.UniqueConstraint(fields=["environment", "name"], name="one_endpoint_name")]

    def __str__(self) -> str:
        return f"{self.environment.name}/{self.name}"

    @property
    def scopes(self) -> list[str]:
        """The permission scopes this endpoint lies in."""
        return [self.environment.scope, self.model.scope]


class EndpointArm(models.Model):
    """One arm of an endpoint as it should be. Weights of an endpoint's arms sum to 100 (`mirror_pct` is apart)."""

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="arms")
    arm = models.CharField(max_length=10, choices=[(a.value, a.value) for a in Arm])
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="+")
    release = models.ForeignKey("Release", on_delete=models.PROTECT, related_name="+")
    weight_pct = models.PositiveSmallIntegerField()
    mirror_pct = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["endpoint", "id"]
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "arm"], name="one_row_per_arm"),
            models.CheckConstraint(condition=models.Q(weight_pct__lte=100), name="weight_at_most_100"),
        ]

    def __str__(self) -> str:
        return f"{self.endpoint} {self.arm}: version {self.version.number} at {self.weight_pct} %"


class GatewayKey(models.Model):
    """A key with which model clients call the gateway. Only its SHA-256 is stored; the key is shown once."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    environments = models.JSONField(default=list, help_text='Names, or ["*"].')
    endpoints = models.JSONField(default=list, help_text='Names, or ["*"].')
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.prefix}… {self.name}"

    def is_live(self, now: datetime) -> bool:
        """Whether the key opens anything at `now`."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)
