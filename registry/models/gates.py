"""What gates found about a subject, and the findings that a person lets pass."""

import uuid
from datetime import datetime

from django.conf import settings
from django.db import models

from registry.lifecycle import REFUSING, GateOutcome, GateState


class GateResult(models.Model):
    """The answer of one gate about a subject, from the moment it is asked for; the evidence once it has ended.

    One row of a gate is `is_current`; what it found before stays. `step` says in a sentence what it does meanwhile.
    `lease_until` and `epoch` fence the process that runs it; `interrupted` counts processes that died over it.
    `looked_at` maps what it looked at to a hash of it, `finding` is the fingerprint of what it found: a waiver is bound
    to that. `asked_by` and `asked_reason` say why it ran again.
    """

    subject_kind = models.CharField(max_length=40)
    subject_id = models.CharField(max_length=64)
    gate = models.CharField(max_length=40)
    state = models.CharField(max_length=8, choices=[(s.value, s.value) for s in GateState], default=GateState.ENDED)
    outcome = models.CharField(max_length=8, blank=True, choices=[(o.value, o.value) for o in GateOutcome])
    sentence = models.CharField(max_length=500, blank=True)
    evidence = models.JSONField(default=dict)
    content_hash = models.CharField(max_length=80)
    at = models.DateTimeField(help_text="When it ended; until then when it was asked for.")
    duration_ms = models.PositiveIntegerField(default=0)
    step = models.CharField(max_length=200, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    deadline_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    epoch = models.PositiveIntegerField(default=0)
    interrupted = models.PositiveSmallIntegerField(default=0)
    looked_at = models.JSONField(default=dict)
    finding = models.CharField(max_length=80, blank=True)
    is_current = models.BooleanField(default=True)
    asked_by = models.CharField(max_length=150, blank=True)
    asked_reason = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["at", "id"]
        indexes = [models.Index(fields=["subject_kind", "subject_id"], name="gate_by_subject")]
        constraints = [
            models.UniqueConstraint(
                fields=["subject_kind", "subject_id", "gate"],
                condition=models.Q(is_current=True),
                name="one_current_result_per_gate",
            )
        ]

    def __str__(self) -> str:
        return f"{self.gate}: {self.outcome or self.state}"

    @property
    def is_ended(self) -> bool:
        return self.state == GateState.ENDED

    @property
    def is_refusing(self) -> bool:
        return self.is_ended and self.outcome in REFUSING


class Waiver(models.Model):
    """One finding of one gate that a person lets pass, for some time: of these files, at this place, and nothing else.

    `place` is where they are to serve, as the subject says it; `finding` is the fingerprint of what was found, and
    `sentence` its words. `role` is the one that let the person do it. A waiver is never deleted, and changed only when
    it is withdrawn.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    gate = models.CharField(max_length=40)
    digest = models.CharField(max_length=80)
    place = models.CharField(max_length=120)
    finding = models.CharField(max_length=80)
    outcome = models.CharField(max_length=8, choices=[(o.value, o.value) for o in GateOutcome])
    sentence = models.CharField(max_length=500)
    subject_kind = models.CharField(max_length=40)
    subject_id = models.CharField(max_length=64)
    scopes = models.JSONField(default=list)
    reason = models.CharField(max_length=1000)
    given_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=30)
    given_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_by = models.CharField(max_length=150, blank=True)
    withdrawn_reason = models.CharField(max_length=1000, blank=True)

    class Meta:
        ordering = ["given_at"]
        indexes = [models.Index(fields=["digest", "place", "gate"], name="waiver_by_finding")]

    def __str__(self) -> str:
        return f"waiver of {self.gate} for {self.place}"

    def is_in_time(self, now: datetime) -> bool:
        """Whether it is neither withdrawn nor over."""
        return self.withdrawn_at is None and self.expires_at > now
