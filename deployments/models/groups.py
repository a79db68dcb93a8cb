"""Releases that go together, or not at all."""

import uuid

from django.db import models

from deployments.lifecycle import GroupOutcome


class ReleaseGroup(models.Model):
    """A coordinated release: its members begin together, are promoted together, and go back together.

    It takes members until `closed_at`; before that none of them begins. `sentence` says why it is taken back, or how it
    ended; `outcome` is empty until `ended_at`.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=80)
    reason = models.CharField(max_length=2000, blank=True)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True)
    sentence = models.CharField(max_length=2000, blank=True)
    outcome = models.CharField(max_length=10, blank=True, choices=[(one.value, one.value) for one in GroupOutcome])
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["created_at"], condition=models.Q(ended_at__isnull=True), name="release_group_open")
        ]

    def __str__(self) -> str:
        return self.name
