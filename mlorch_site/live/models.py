"""Events: the outbox that carries news upward and outward, and the table live pages catch up from."""

from django.db import models


class Event(models.Model):
    """Something changed. `sequence` is in commit order without gaps; `relayed_at` is set once all handlers were told.

    `attempts` counts how often telling them failed; then it is tried again at `due_at`, and null means at once.
    """

    sequence = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField(db_index=True)
    topic = models.CharField(max_length=120, db_index=True)
    kind = models.CharField(max_length=64)
    data = models.JSONField(default=dict)
    relayed_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0, db_default=0)
    due_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["sequence"]
        indexes = [
            models.Index(fields=["topic", "sequence"], name="event_by_topic"),
            models.Index(fields=["sequence"], name="event_unrelayed", condition=models.Q(relayed_at=None)),
        ]

    def __str__(self) -> str:
        return f"#{self.sequence} {self.kind} on {self.topic}"


class EventHead(models.Model):
    """The newest sequence: the one row that publishing is serialised by."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    sequence = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"event head #{self.sequence}"


class Follower(models.Model):
    """Who keeps something true to all events, and how far it has come: what was committed up to `sequence` is in,
    looked at last at `looked_at`.
    """

    name = models.CharField(max_length=40, primary_key=True)
    sequence = models.BigIntegerField()
    looked_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} at #{self.sequence}"
