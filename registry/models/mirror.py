"""The mirror of MLflow's registry. Only the sync writes what MLflow owns."""

import uuid
from datetime import datetime

from django.db import models
from django.urls import reverse

from registry.lifecycle import LIFECYCLE_LOOKS, DigestStatus, LifecycleLook, RiskTier, VersionLifecycle, VersionStatus


class Model(models.Model):
    """A registered model. `risk_tier` and `owner` are ours; the rest mirrors MLflow."""

    name = models.CharField(max_length=256, unique=True)
    description = models.TextField(blank=True)
    tags = models.JSONField(default=dict)
    risk_tier = models.CharField(
        max_length=8, choices=[(t.value, t.value) for t in RiskTier], default=RiskTier.MODERATE
    )
    owner = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def scope(self) -> str:
        """The permission scope this model forms."""
        return self.scope_of(self.name)

    @staticmethod
    def scope_of(name: str) -> str:
        """The scope of the model with that name."""
        return f"model:{name}"


class ArtifactSet(models.Model):
    """The files of one digest as they were taken into the artifact store, and what they say.

    A version's own fields follow MLflow; what this row says of the files never changes, so that what a release froze
    can be read at any time. `facts` has the keys of `registry.artifact_facts.artifact_facts`.

    `needed_at` is when something was last seen to need the files, null until a sweep has looked. `let_go_at` is set
    while the files are not in the store any more, or about to leave it. `kept_until` is until when at least the
    revision `kept_by` keeps them although nothing needs them, as the last sweep noted it.
    """

    digest = models.CharField(max_length=80, primary_key=True)
    facts = models.JSONField(default=dict)
    taken_in_at = models.DateTimeField()
    size_bytes = models.BigIntegerField(default=0, db_default=0)
    needed_at = models.DateTimeField(null=True, blank=True, db_index=True)
    let_go_at = models.DateTimeField(null=True, blank=True, db_index=True)
    kept_until = models.DateTimeField(null=True, blank=True)
    kept_by = models.ForeignKey("registry.Policy", null=True, blank=True, on_delete=models.PROTECT, related_name="+")

    def __str__(self) -> str:
        return self.digest


class StoreState(models.Model):
    """The artifact store as the last sweep left it. One row.

    `problems` are sentences: what lies there and is not ours, and what could not be deleted.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    swept_at = models.DateTimeField()
    problems = models.JSONField(default=list)

    def __str__(self) -> str:
        return f"swept at {self.swept_at}"


class Version(models.Model):
    """A model version. `digest` is `sha256:…` over its artifacts; `evidence` is what MLflow knows about its making.

    MLflow gives a number again when a version was deleted and another one made: `identity` tells them apart. The row of
    the earlier one stays for everything that hangs on it, with `superseded_at`; the later one is a row of its own.

    `evidence` has the keys `metrics`, `params`, `run_name`, `run_user`, `authors` (all names by which MLflow has said
    who made it), `experiment`, `datasets`, `git_commit`,
    `git_dirty`, `source_type`, `flavors`, `requirements` (list of lines), `python`, `input_example` (JSON or null),
    `run_url`.
    """

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    status = models.CharField(max_length=24, choices=[(s.value, s.value) for s in VersionStatus])
    status_message = models.TextField(blank=True)
    source = models.CharField(max_length=1000, blank=True)
    run_id = models.CharField(max_length=64, blank=True)
    description = models.TextField(blank=True)
    tags = models.JSONField(default=dict)
    signature = models.JSONField(null=True, blank=True)
    evidence = models.JSONField(default=dict)
    digest = models.CharField(max_length=80, blank=True)
    digest_status = models.CharField(
        max_length=10, choices=[(s.value, s.value) for s in DigestStatus], default=DigestStatus.PENDING
    )
    digest_error = models.TextField(blank=True)
    digest_due_at = models.DateTimeField(null=True, blank=True)
    digest_looked_at = models.DateTimeField(null=True, blank=True, help_text="When MLflow's files were last read.")
    size_bytes = models.BigIntegerField(default=0)
    manifest = models.JSONField(default=list)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True, help_text="When its number was seen given again.")
    lifecycle = models.CharField(
        max_length=12,
        choices=[(state.value, state.value) for state in VersionLifecycle],
        default=VersionLifecycle.REGISTERED,
        db_default=VersionLifecycle.REGISTERED.value,
    )

    class Meta:
        ordering = ["model", "-number", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["model", "number"], condition=models.Q(superseded_at=None), name="one_row_per_version"
            )
        ]
        indexes = [
            models.Index(fields=["digest_due_at"], name="version_digest_due"),
            models.Index(
                fields=["model", "digest"],
                name="version_blocked",
                condition=models.Q(lifecycle=VersionLifecycle.BLOCKED),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model.name} version {self.number}"

    @property
    def lifecycle_look(self) -> LifecycleLook:
        return LIFECYCLE_LOOKS[VersionLifecycle(self.lifecycle)]

    @property
    def is_ready(self) -> bool:
        return self.status == VersionStatus.READY

    @property
    def identity(self) -> tuple[datetime, str, str]:
        """What MLflow never gives to another version of the number: when it was made, from which run and source."""
        return self.created_at, self.run_id, self.source

    @property
    def address(self) -> str:
        """The address of the version's page; of one whose number was given again it says which row is meant."""
        url = reverse("version", args=[self.model.name, self.number])
        return f"{url}?row={self.pk}" if self.superseded_at else url


class Alias(models.Model):
    """Where an alias points in MLflow, as last seen."""

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="aliases")
    name = models.CharField(max_length=255)
    version_number = models.PositiveIntegerField()
    seen_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["model", "name"], name="one_row_per_alias")]

    def __str__(self) -> str:
        return f"{self.model.name}@{self.name} → {self.version_number}"


class AliasIntent(models.Model):
    """Where mlorch wants an alias of a model to point. One row per alias; the newest wish wins.

    `version_number` null means: the alias should not exist. `version` is the row that was meant by the number.
    `applied_at` null means: still to be written to MLflow.
    """

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="alias_intents")
    name = models.CharField(max_length=255)
    version_number = models.PositiveIntegerField(null=True, blank=True)
    version = models.ForeignKey(Version, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    reason = models.CharField(max_length=300, blank=True)
    wanted_at = models.DateTimeField()
    applied_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)
    due_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["model", "name"], name="one_intent_per_alias")]

    def __str__(self) -> str:
        return f"{self.model.name}@{self.name} should be {self.version_number}"


class Finding(models.Model):
    """Something that was done outside mlorch: an alias moved by hand, artifacts changed, a version deleted."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="findings")
    kind = models.CharField(max_length=40)
    summary = models.CharField(max_length=500)
    data = models.JSONField(default=dict)
    found_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolution = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-found_at"]

    def __str__(self) -> str:
        return self.summary


class BackendState(models.Model):
    """How the registry backend was at the last look. One row."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    reachable = models.BooleanField(default=False)
    ever_reached = models.BooleanField(default=False)
    checked_at = models.DateTimeField(null=True)
    synced_at = models.DateTimeField(null=True)
    webhook_due_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True)
    lease_until = models.DateTimeField(null=True)
    lease_epoch = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return "reachable" if self.reachable else f"unreachable: {self.error}"


class WebhookDelivery(models.Model):
    """A delivery of MLflow that was accepted; the unique id makes a repeated delivery harmless."""

    delivery_id = models.CharField(max_length=64, primary_key=True)
    event = models.CharField(max_length=80)
    received_at = models.DateTimeField(db_index=True)
    data = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"{self.event} {self.delivery_id}"
