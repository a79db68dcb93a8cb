"""Approval requests and decisions, and the results of gates: about a subject and a digest."""

import uuid

from django.conf import settings
from django.db import models

from registry.lifecycle import ApprovalStatus, DecisionKind, GateOutcome
from registry.models.environments import Policy


class ApprovalRequest(models.Model):
    """A request for decisions on a subject. Bound to `content_hash`: what is approved is exactly that content.

    `rules` is copied from the policy revision at the time of the request. `scopes` are the permission scopes the
    subject lies in. `excluded` are user ids that may not decide (requester, author of the version).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    subject_kind = models.CharField(max_length=40)
    subject_id = models.CharField(max_length=64)
    title = models.CharField(max_length=300)
    url = models.CharField(max_length=300)
    content_hash = models.CharField(max_length=80)
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT)
    rules = models.JSONField()
    scopes = models.JSONField(default=list)
    excluded = models.JSONField(default=list)
    requester = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="approval_requests")
    status = models.CharField(
        max_length=10, choices=[(s.value, s.value) for s in ApprovalStatus], default=ApprovalStatus.OPEN
    )
    status_reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["status", "created_at"], name="approval_by_status")]
        constraints = [
            models.UniqueConstraint(
                fields=["subject_kind", "subject_id"], condition=models.Q(status="open"), name="one_open_approval"
            )
        ]

    def __str__(self) -> str:
        return self.title


class Decision(models.Model):
    """What one person decided. The newest decision of a person counts; one person counts for one rule only.

    `proven_by` and `proven_at` say how and when they had last proved who they are; a token has no such moment.
    """

    request = models.ForeignKey(ApprovalRequest, on_delete=models.CASCADE, related_name="decisions")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="decisions")
    kind = models.CharField(max_length=16, choices=[(k.value, k.value) for k in DecisionKind])
    comment = models.TextField(blank=True)
    content_hash = models.CharField(max_length=80)
    roles = models.JSONField(default=list)
    at = models.DateTimeField()
    proven_by = models.CharField(max_length=80, blank=True, default="", db_default="")
    proven_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["at"]

    def __str__(self) -> str:
        return f"{self.person} {self.kind} {self.request}"


class GateResult(models.Model):
    """The evidence a gate left about a subject. A newer row of the same gate replaces an older one in judgement."""

    subject_kind = models.CharField(max_length=40)
    subject_id = models.CharField(max_length=64)
    gate = models.CharField(max_length=40)
    outcome = models.CharField(max_length=8, choices=[(o.value, o.value) for o in GateOutcome])
    sentence = models.CharField(max_length=500)
    evidence = models.JSONField(default=dict)
    content_hash = models.CharField(max_length=80)
    at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["at"]
        indexes = [models.Index(fields=["subject_kind", "subject_id"], name="gate_by_subject")]

    def __str__(self) -> str:
        return f"{self.gate}: {self.outcome}"
