"""Requests that wait until the endpoint they are for is free."""

import uuid

from django.conf import settings
from django.db import models

from deployments.lifecycle import QueueOutcome
from deployments.models.endpoints import Endpoint
from deployments.models.releases import Release


class QueuedRequest(models.Model):
    """What somebody wants to request when the endpoint's open release, and who waits before, have ended.

    `command` is the request as it was written. Nothing is checked by gates or approved before its turn: what people
    approve is bound to what the endpoint serves then. The lowest `place` is next. `outcome` is empty while it waits;
    `release` is what came of it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="queue")
    requester = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    command = models.JSONField()
    version = models.PositiveIntegerField()
    place = models.IntegerField()
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=10, blank=True, choices=[(one.value, one.value) for one in QueueOutcome])
    sentence = models.CharField(max_length=2000, blank=True)
    release = models.OneToOneField(Release, null=True, blank=True, on_delete=models.PROTECT, related_name="queued_as")

    class Meta:
        ordering = ["endpoint", "place"]
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint", "place"], condition=models.Q(ended_at__isnull=True), name="one_queue_place"
            )
        ]
        indexes = [models.Index(fields=["endpoint"], condition=models.Q(ended_at__isnull=True), name="queue_waiting")]

    def __str__(self) -> str:
        return f"version {self.version} for {self.endpoint}"

    @property
    def scopes(self) -> list[str]:
        """The permission scopes it lies in."""
        return self.endpoint.scopes

    @property
    def is_waiting(self) -> bool:
        return self.ended_at is None
