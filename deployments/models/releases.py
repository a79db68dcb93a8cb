"""Releases, their rollouts, history and reports."""

import uuid

from django.conf import settings
from django.db import models

from deployments.lifecycle import LIVE_STATUSES, OPEN_STATUSES, BakeOutcome, Phase, ReleaseStatus
from deployments.models.endpoints import Endpoint, ServingConfig
from deployments.models.groups import ReleaseGroup
from registry.models import ApprovalRequest, Emergency, Policy, Version


class Release(models.Model):
    """The request to make `version` the one that `endpoint` serves, with a frozen plan.

    `plan` is the compiled plan (see `deployments.rollout.strategies`); `content_hash` covers model, version, digest,
    endpoint, plan, policy revision and serving config: approvals are bound to it. `replaces` is the release that was
    stable when the rollout began and the target of a rollback. `kind` is `release`, or `rollback` for the record of a
    return to an earlier release by hand.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=8, default="release", choices=[("release", "release"), ("rollback", "rollback")])
    endpoint = models.ForeignKey(Endpoint, on_delete=models.PROTECT, related_name="releases")
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="releases")
    digest = models.CharField(max_length=80, blank=True)
    replaces = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    restores = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    requester = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="releases")
    reason = models.TextField(blank=True)
    strategy = models.JSONField()
    guardrails = models.JSONField(default=list)
    plan = models.JSONField()
    content_hash = models.CharField(max_length=80)
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT)
    serving_config = models.ForeignKey(ServingConfig, on_delete=models.PROTECT)
    group = models.ForeignKey(ReleaseGroup, null=True, blank=True, on_delete=models.PROTECT, related_name="members")
    approval = models.OneToOneField(
        ApprovalRequest, null=True, blank=True, on_delete=models.PROTECT, related_name="release"
    )
    status = models.CharField(
        max_length=20,
        choices=[(s.value, s.value) for s in ReleaseStatus],
        default=ReleaseStatus.CHECKING,
        db_index=True,
    )
    status_reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(db_index=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    row_version = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint"],
                condition=models.Q(status__in=sorted(s.value for s in OPEN_STATUSES), kind="release"),
                name="one_open_release_per_endpoint",
            ),
            # A rollback by hand may begin while another release waits for approval; two may never move traffic
            # together.
            models.UniqueConstraint(
                fields=["endpoint"],
                condition=models.Q(status__in=sorted(s.value for s in LIVE_STATUSES)),
                name="one_live_rollout_per_endpoint",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], name="release_due", condition=models.Q(due_at__isnull=False)),
            models.Index(fields=["ended_at"], name="release_by_end"),
        ]

    def __str__(self) -> str:
        return f"{self.version} to {self.endpoint}"

    @property
    def scopes(self) -> list[str]:
        """The permission scopes this release lies in."""
        return self.endpoint.scopes

    @property
    def emergency(self) -> Emergency | None:
        """The emergency in which this, or what it restores, began without its approvals (reads the database where its
        rows are not joined).
        """
        found = getattr(self.approval, "emergency", None) if self.approval_id else None
        return found or (self.restores.emergency if self.restores is not None else None)

    @property
    def is_open(self) -> bool:
        return ReleaseStatus(self.status) in OPEN_STATUSES


class Rollout(models.Model):
    """The execution of a release's plan. The engine alone writes it, fenced by `row_version`.

    `step` is the index into `plan["steps"]`. `step_began_at` is when the step was entered, `applied_at` when every
    gateway had acknowledged `route_revision`: only requests after it count. `watched_at` is when the first weight above
    zero was acknowledged: the judge counts from then. `held_at` is when the environment was first seen to be closed,
    while its policy holds the rollout. `joined_at` is since when a member of a group would be promoted, were it not for
    the others. `judge` is the folded state of `monitoring.analysis.judge`, `judge_cursor` the
    last window id in it, `step_candidate_requests` and `step_stable_requests` the arms' requests since `applied_at`.
    `assessment` is the last assessment as shown. `wish` is what a person asked for and the engine has not done yet:
    `""`, `promote`, `abort`, `rollback`.
    """

    release = models.OneToOneField(Release, on_delete=models.CASCADE, related_name="rollout")
    phase = models.CharField(max_length=10, choices=[(p.value, p.value) for p in Phase], default=Phase.STARTING)
    step = models.PositiveSmallIntegerField(default=0)
    weight_pct = models.PositiveSmallIntegerField(default=0)
    began_at = models.DateTimeField()
    step_began_at = models.DateTimeField()
    applied_at = models.DateTimeField(null=True, blank=True)
    watched_at = models.DateTimeField(null=True, blank=True)
    deadline_at = models.DateTimeField(null=True, blank=True)
    joined_at = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_s = models.FloatField(default=0)
    held_at = models.DateTimeField(null=True, blank=True)
    route_revision = models.PositiveIntegerField(default=0)
    judge = models.JSONField(default=dict)
    judge_cursor = models.BigIntegerField(default=0)
    step_candidate_requests = models.PositiveIntegerField(default=0)
    step_stable_requests = models.PositiveIntegerField(default=0)
    assessment = models.JSONField(default=dict)
    waiting_for = models.CharField(max_length=500, blank=True)
    wish = models.CharField(max_length=10, blank=True)
    wish_by = models.CharField(max_length=150, blank=True)
    wish_reason = models.TextField(blank=True)
    outcome = models.CharField(max_length=20, blank=True)
    outcome_reason = models.TextField(blank=True)
    row_version = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"rollout of {self.release}: {self.phase}"


class BakeWatch(models.Model):
    """A release that has become stable is watched until `until` (see `monitoring.analysis.bake_watch`).

    `watched` are its guardrails with what was counted, `cursor` the last window id in them. `due_at` is when to look
    next, empty when the watch is over; `outcome` says how it ended, and `back` is the release that took it back.
    """

    release = models.OneToOneField(Release, on_delete=models.CASCADE, related_name="bake_watch")
    began_at = models.DateTimeField()
    until = models.DateTimeField()
    watched = models.JSONField()
    cursor = models.BigIntegerField(default=0)
    due_at = models.DateTimeField(null=True, blank=True, db_index=True)
    signalled_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=12, blank=True, choices=[(o.value, o.value) for o in BakeOutcome])
    back = models.OneToOneField(Release, null=True, blank=True, on_delete=models.PROTECT, related_name="took_back")

    def __str__(self) -> str:
        return f"watch of {self.release} until {self.until}"


class ReleaseEvent(models.Model):
    """One line of a release's history: every transition, step, verdict and act, with the reason and who."""

    release = models.ForeignKey(Release, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField()
    kind = models.CharField(max_length=40)
    old = models.CharField(max_length=20, blank=True)
    new = models.CharField(max_length=20, blank=True)
    sentence = models.TextField()
    actor = models.CharField(max_length=150)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["release", "id"], name="release_history")]

    def __str__(self) -> str:
        return f"{self.kind}: {self.sentence}"
