"""Approval requests and decisions: about a subject and a digest."""

import uuid

from django.conf import settings
from django.db import models

from registry.lifecycle import ApprovalStatus, DecisionKind
from registry.models.delegations import Delegation
from registry.models.environments import Policy


class ApprovalRequest(models.Model):
    """A request for decisions on a subject. Bound to `content_hash`: what is approved is exactly that content.

    `content` is what the hash was made of, kept so that a change can be told field by field; `changes` are the
    sentences that told it when the request was voided. `risk_tier` is the tier at the time of the request. `answers` is
    the earlier request in which changes were asked for, when this one follows it.

    `rules` is copied from the policy revision at the time of the request. `scopes` are the permission scopes the
    subject lies in. `excluded` are user ids that may not decide (requester, who wrote part of it, who made it by
    MLflow's word). `authors` is that word as it was when the release was requested: `claims`, the names, and `people`,
    whose they were; empty where nothing was kept of it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    subject_kind = models.CharField(max_length=40)
    subject_id = models.CharField(max_length=64)
    title = models.CharField(max_length=300)
    url = models.CharField(max_length=300)
    content_hash = models.CharField(max_length=80)
    content = models.JSONField(default=dict)
    changes = models.JSONField(default=list)
    risk_tier = models.CharField(max_length=10, blank=True, default="")
    answers = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="answered_by")
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT)
    rules = models.JSONField()
    scopes = models.JSONField(default=list)
    excluded = models.JSONField(default=list)
    authors = models.JSONField(default=dict)
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

    With `on_behalf_of` the person used the power of somebody who delegated it by `delegation`; `roles` are then those
    of that other person. `proven_by` and `proven_at` say how and when the person had last proved who they are; a token
    has no such moment.
    """

    request = models.ForeignKey(ApprovalRequest, on_delete=models.CASCADE, related_name="decisions")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="decisions")
    on_behalf_of = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="decisions_by_others"
    )
    delegation = models.ForeignKey(
        Delegation, null=True, blank=True, on_delete=models.PROTECT, related_name="decisions"
    )
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
        return f"{self.by} {self.kind} {self.request}"

    @property
    def by(self) -> str:
        """Who decided, and with whose power when it was not the own: "bob for carol"."""
        return f"{self.person.username} for {self.on_behalf_of.username}" if self.on_behalf_of else self.person.username

    @property
    def voice_id(self) -> int:
        """The id of the person whose power was used."""
        return self.on_behalf_of_id or self.person_id
