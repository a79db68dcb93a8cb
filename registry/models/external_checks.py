"""Checks that somebody else makes: whom to ask, and what was asked and answered."""

import uuid

from django.conf import settings
from django.db import models

from registry.lifecycle import GateOutcome


class ExternalCheck(models.Model):
    """Somebody who is asked about releases: an address, and a secret that both sides sign with.

    The secret is not stored: it comes of the row's id and the site's secret key. An ended check is not asked any more,
    and its answers do not count.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.SlugField(max_length=60)
    url = models.CharField(max_length=300)
    reason = models.CharField(max_length=300)
    added_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    added_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.CharField(max_length=150, blank=True)
    ended_reason = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["name", "added_at"]
        constraints = [
            models.UniqueConstraint(fields=["name"], condition=models.Q(ended_at=None), name="one_open_check_per_name")
        ]

    def __str__(self) -> str:
        return self.name


class ExternalCall(models.Model):
    """One question to an external check, and its answer: about one subject with one content and these files.

    An answer counts once, until `answer_by`, and only when it names the same files and content.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    asked_of = models.ForeignKey(ExternalCheck, on_delete=models.PROTECT, related_name="calls")
    subject_kind = models.CharField(max_length=40)
    subject_id = models.CharField(max_length=64)
    digest = models.CharField(max_length=80)
    content_hash = models.CharField(max_length=80)
    body = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    answer_by = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=300, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=8, blank=True, choices=[(o.value, o.value) for o in GateOutcome])
    sentence = models.CharField(max_length=400, blank=True)
    evidence_url = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["subject_kind", "subject_id"], name="call_by_subject")]

    def __str__(self) -> str:
        return f"{self.asked_of} about {self.subject_kind} {self.subject_id}"
