"""Emergencies: what began without its approvals, and the review that follows."""

import uuid

from django.conf import settings
from django.db import models

from registry.models.approvals import ApprovalRequest


class Emergency(models.Model):
    """The use of an emergency: what `request` asked about begins although its rules are not met. Never an approval.

    `skipped` holds `rules`, what was still missing as people read it, and `people`, the names of those who could have
    decided. `evidence` is what the gates had said by then. The review is open until somebody else has closed it with a
    finding.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    request = models.OneToOneField(ApprovalRequest, on_delete=models.PROTECT, related_name="emergency")
    used_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    used_at = models.DateTimeField()
    reason = models.TextField()
    ticket = models.CharField(max_length=200)
    content_hash = models.CharField(max_length=80)
    skipped = models.JSONField(default=dict)
    evidence = models.JSONField(default=list)
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    closed_at = models.DateTimeField(null=True, blank=True)
    finding = models.TextField(blank=True)

    class Meta:
        ordering = ["-used_at"]
        verbose_name_plural = "emergencies"
        indexes = [models.Index(fields=["used_at"], name="review_open", condition=models.Q(closed_at=None))]

    def __str__(self) -> str:
        return f"emergency of {self.request}"

    @property
    def is_open(self) -> bool:
        return self.closed_at is None

    @property
    def sentence(self) -> str:
        """What happened, in one sentence."""
        return f"Begun without approvals, in an emergency, by {self.used_by.username}: {self.reason}"
