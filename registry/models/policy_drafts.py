"""Revisions of policies before they are in force."""

import uuid

from django.conf import settings
from django.db import models

from registry.lifecycle import PolicyStage, RiskTier
from registry.models.environments import Environment, Policy
from registry.models.mirror import Model


class PolicyDraft(models.Model):
    """A revision of a line of a policy that is written, reviewed, or waits for its day.

    `values` are all fields of a policy but the note, which is `note`. It started from the revision `base`, null where
    the line had none; another revision that comes into force meanwhile is a conflict that its authors settle.
    `ends_line` takes the line away instead. `authors` are all who changed the text: none of them publishes it where the
    environment is protected. `row_version` counts changes, so that nobody publishes or overwrites what they have not
    seen. `made` is the revision it became.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="drafts")
    model = models.ForeignKey(Model, null=True, blank=True, on_delete=models.PROTECT, related_name="drafts")
    model_made_at = models.DateTimeField(null=True, blank=True)
    tier = models.CharField(max_length=8, blank=True, choices=[(tier.value, tier.value) for tier in RiskTier])
    base = models.ForeignKey(Policy, null=True, blank=True, on_delete=models.PROTECT, related_name="drafts")
    values = models.JSONField(default=dict)
    note = models.CharField(max_length=300, blank=True)
    ends_line = models.BooleanField(default=False)
    stage = models.CharField(
        max_length=10, choices=[(stage.value, stage.value) for stage in PolicyStage], default=PolicyStage.DRAFT
    )
    stage_reason = models.CharField(max_length=500, blank=True)
    starts_at = models.DateTimeField(null=True, blank=True, db_index=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    authors = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="+")
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    made = models.ForeignKey(Policy, null=True, blank=True, on_delete=models.PROTECT, related_name="made_by_drafts")
    row_version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"Draft for {self.environment}"
