"""What people decided about versions, with their reasons, and what MLflow's tags are to say of it."""

from django.conf import settings
from django.db import models

from registry.lifecycle import LifecycleAct, VersionLifecycle
from registry.models.mirror import Version


class LifecycleChange(models.Model):
    """One act about a version's lifecycle: from where to where, why and by whom. Never changed and never deleted."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="lifecycle_changes")
    act = models.CharField(max_length=12, choices=[(act.value, act.value) for act in LifecycleAct])
    old = models.CharField(max_length=12, choices=[(state.value, state.value) for state in VersionLifecycle])
    new = models.CharField(max_length=12, choices=[(state.value, state.value) for state in VersionLifecycle])
    reason = models.CharField(max_length=500)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="lifecycle_changes")
    at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.version}: {self.old} → {self.new}"


class TagIntent(models.Model):
    """What mlorch wants a tag of a version to say in MLflow. One row per tag; the newest wish wins.

    An empty `value` means: the tag should not exist. `applied_at` null means: still to be written to MLflow.
    """

    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="tag_intents")
    key = models.CharField(max_length=60)
    value = models.CharField(max_length=60, blank=True)
    wanted_at = models.DateTimeField()
    applied_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)
    due_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "key"], name="one_intent_per_tag")]
        indexes = [models.Index(fields=["due_at"], name="tag_due", condition=models.Q(applied_at=None))]

    def __str__(self) -> str:
        return f"{self.version}: {self.key} should be {self.value or 'gone'}"
