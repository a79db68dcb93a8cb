"""The power to decide, given to somebody else for an absence."""

import uuid
from datetime import datetime

from django.conf import settings
from django.db import models


class DelegationSet(models.QuerySet["Delegation"]):
    def in_force(self, now: datetime) -> "DelegationSet":
        """Those that give a power at `now`: begun, not over, and ended by nobody."""
        return self.filter(starts_at__lte=now, ends_at__gt=now, ended_at=None)

    def open(self, now: datetime) -> "DelegationSet":
        """Those that give a power at `now` or later."""
        return self.filter(ends_at__gt=now, ended_at=None)


class Delegation(models.Model):
    """A person lets another one decide with the own power, in some scopes, from a moment to a moment.

    It gives what the person holds at the moment of the decision, never more, and nothing that was delegated to them.
    It is never deleted.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    delegator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="delegations_given")
    delegate = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="delegations_held")
    scopes = models.JSONField()
    reason = models.CharField(max_length=300)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    objects = DelegationSet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["delegate", "ends_at"], name="delegation_by_delegate")]

    def __str__(self) -> str:
        return f"{self.delegate} for {self.delegator}"

    def is_in_force(self, now: datetime) -> bool:
        """Whether it gives a power at `now`."""
        return self.ended_at is None and self.starts_at <= now < self.ends_at
