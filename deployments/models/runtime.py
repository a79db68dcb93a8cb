"""Replicas, route tables, gateways, environment builds.

Goal and observation are different rows with different writers.
"""

from django.db import models

from deployments.lifecycle import Arm
from deployments.models.endpoints import Endpoint, EndpointArm, ServingConfig
from deployments.models.releases import Release
from registry.models import Environment, Version


class Replica(models.Model):
    """A replica that should run (goal). Deleted only after it is observed stopped or its agent is gone.

    `version`, `digest` and `serving_config` are those that a release froze: what MLflow says of the version later does
    not reach it. A later release that froze the same takes the replica over (`serves`).

    `agent` is the agent that took it over; empty while nobody has. A replica leaves in this order: out of the route
    table (`removed_from_routes_at`, acknowledged as `removal_revision`), warm until `keep_until` for an instant
    rollback, drained, `wanted` False.
    """

    id = models.CharField(max_length=20, primary_key=True)
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="replicas")
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="replicas")
    digest = models.CharField(max_length=80)
    serving_config = models.ForeignKey(ServingConfig, on_delete=models.PROTECT)
    platform = models.CharField(max_length=20, default="local")
    agent = models.CharField(max_length=80, blank=True)
    generation = models.PositiveIntegerField(default=1)
    is_baseline = models.BooleanField(
        default=False, help_text="Started beside a candidate to be compared with it; ends with its rollout."
    )
    wanted = models.BooleanField(default=True)
    created_at = models.DateTimeField()
    removed_from_routes_at = models.DateTimeField(null=True, blank=True)
    removal_revision = models.PositiveIntegerField(default=0)
    keep_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["created_at"]
        indexes = [models.Index(fields=["endpoint", "version"], name="replica_by_version")]

    def __str__(self) -> str:
        return self.id

    @staticmethod
    def of(release: Release) -> models.Q:
        """The condition for replicas that run exactly what `release` froze."""
        return models.Q(
            endpoint=release.endpoint_id,
            version=release.version_id,
            digest=release.digest,
            serving_config=release.serving_config_id,
            is_baseline=False,
        )

    @staticmethod
    def baseline_of(release: Release) -> models.Q:
        """The condition for the replicas of the stable version that were started beside the candidate of `release`,
        with its serving config; none when it replaces nothing.
        """
        if release.replaces is None:
            return models.Q(pk__in=[])
        return models.Q(
            endpoint=release.endpoint_id,
            version=release.replaces.version_id,
            digest=release.replaces.digest,
            serving_config=release.serving_config_id,
            is_baseline=True,
        )

    def answers_for(self, arm: EndpointArm) -> bool:
        """Whether the replica is one of those behind `arm`."""
        if arm.arm == Arm.BASELINE:
            return self.is_baseline and self.serving_config_id == arm.release.serving_config_id
        return self.serves(arm.release)

    def serves(self, release: Release) -> bool:
        """Whether the replica runs exactly what `release` froze."""
        mine = (self.endpoint_id, self.version_id, self.digest, self.serving_config_id)
        return not self.is_baseline and mine == (
            release.endpoint_id,
            release.version_id,
            release.digest,
            release.serving_config_id,
        )


class ReplicaState(models.Model):
    """A replica as its agent last reported it (observation). States as in docs/wire.md section 5."""

    replica_id = models.CharField(max_length=20, primary_key=True)
    agent = models.CharField(max_length=80)
    host = models.CharField(max_length=200, blank=True)
    generation = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=10, default="pending")
    pid = models.PositiveIntegerField(null=True, blank=True)
    address = models.CharField(max_length=300, blank=True)
    restarts = models.PositiveIntegerField(default=0)
    message = models.CharField(max_length=500, blank=True)
    memory_mb = models.PositiveIntegerField(default=0)
    ready_at = models.DateTimeField(null=True, blank=True)
    profile = models.JSONField(default=dict, blank=True, help_text="How its worker answers, docs/wire.md section 6.")
    sandbox = models.CharField(max_length=500, blank=True, help_text="The level of its sandbox, and what it lacks.")
    reported_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.replica_id} {self.state}"


class AgentState(models.Model):
    """An agent as it last reported itself: its machine, and how good the sandboxes are that it makes there."""

    agent = models.CharField(max_length=80, primary_key=True)
    host = models.CharField(max_length=200, blank=True)
    sandbox = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return f"{self.agent} on {self.host}"


class RouteTable(models.Model):
    """One published revision of an environment's route table. The highest revision is the one wanted."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="route_tables")
    revision = models.PositiveIntegerField()
    document = models.JSONField()
    content_hash = models.CharField(max_length=80)
    reason = models.CharField(max_length=300)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["environment", "-revision"]
        constraints = [models.UniqueConstraint(fields=["environment", "revision"], name="one_route_revision")]

    def __str__(self) -> str:
        return f"{self.environment} routes {self.revision}"


class GatewayState(models.Model):
    """A gateway process as it last reported itself. `applied` maps environment → acknowledged revision.

    A gateway has one process, and a second one for as long as its successor takes over: each obeys and has requests in
    flight of its own.
    """

    gateway = models.CharField(max_length=80)
    boot = models.CharField(max_length=36)
    applied = models.JSONField(default=dict)
    refused = models.JSONField(default=dict)
    in_flight = models.JSONField(default=dict)
    stats = models.JSONField(default=dict)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["gateway", "boot"], name="one_state_per_boot")]

    def __str__(self) -> str:
        return self.gateway


class EnvironmentBuild(models.Model):
    """The build of an isolated Python environment on an agent's machine, as last reported."""

    agent = models.CharField(max_length=80)
    key = models.CharField(max_length=64)
    state = models.CharField(max_length=10)
    progress = models.CharField(max_length=300, blank=True)
    log_tail = models.TextField(blank=True)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["agent", "key"], name="one_build_per_agent")]

    def __str__(self) -> str:
        return f"{self.key} {self.state}"
