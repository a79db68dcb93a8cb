"""Rows of the audit record.

Database triggers refuse UPDATE, DELETE, REPLACE and TRUNCATE on `audit_auditrecord`, and a head that goes back.
"""

from django.db import models


class AuditRecord(models.Model):
    """One act. `sequence` has no gaps; `hash` covers the canonical content and the previous record's hash."""

    sequence = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField(db_index=True)
    actor_kind = models.CharField(max_length=12)
    actor = models.CharField(max_length=150, db_index=True)
    on_behalf_of = models.CharField(max_length=150, blank=True)
    address = models.CharField(max_length=64, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    action = models.CharField(max_length=64, db_index=True)
    subject_kind = models.CharField(max_length=40)
    subject_id = models.CharField(max_length=64)
    subject_label = models.CharField(max_length=300, blank=True)
    reason = models.TextField(blank=True)
    data = models.JSONField(default=dict)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ["-sequence"]
        indexes = [models.Index(fields=["subject_kind", "subject_id", "sequence"], name="audit_by_subject")]

    def __str__(self) -> str:
        return f"#{self.sequence} {self.action} {self.subject_label or self.subject_id}"


class AuditHead(models.Model):
    """The chain's newest sequence and hash: the one row that appends are serialised by.

    `checkpoint_size` is how many records the newest checkpoint covers that was written outside the database.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    sequence = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64)
    checkpoint_size = models.BigIntegerField(default=0, db_default=0)
    checkpoint_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"audit head #{self.sequence}"


class CopyDelivery(models.Model):
    """How far the checkpoints are at one second place, and when the next is tried.

    `delivered_line` is the hash of the last line there, as the line after it names it. Whoever sends puts
    `next_attempt_at` off first, so that two do not send at once.
    """

    place = models.CharField(max_length=64, primary_key=True)
    delivered_size = models.BigIntegerField(default=0)
    delivered_line = models.CharField(max_length=64, blank=True)
    delivered_at = models.DateTimeField(null=True)
    failures = models.IntegerField(default=0)
    last_error = models.TextField(blank=True)
    next_attempt_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.place} has {self.delivered_size}"


class AuditScope(models.Model):
    """A scope that a record's subject lay in when the record was written: who may see the scope sees the record.

    Not part of the record: it says who is shown it, not what was done.
    """

    record = models.ForeignKey(AuditRecord, on_delete=models.DO_NOTHING, db_constraint=False, related_name="scopes")
    scope = models.CharField(max_length=300)

    class Meta:
        indexes = [models.Index(fields=["scope", "record"], name="audit_by_scope")]

    def __str__(self) -> str:
        return f"#{self.record_id} in {self.scope}"


class RefusalCount(models.Model):
    """What somebody is refused again and again: when it was recorded last, and how often it came since then.

    `key` is a hash over who, from where and why; `path` is that of the newest attempt.
    """

    key = models.CharField(max_length=64, primary_key=True)
    actor_kind = models.CharField(max_length=12)
    actor = models.CharField(max_length=150)
    address = models.CharField(max_length=64, blank=True)
    route = models.CharField(max_length=64)
    path = models.CharField(max_length=300)
    reason = models.CharField(max_length=300)
    noted_at = models.DateTimeField(db_index=True)
    unnoted = models.PositiveIntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["actor_kind", "actor"], name="refusals_of_actor")]

    def __str__(self) -> str:
        return f"{self.actor} {self.address}: {self.unnoted}"


class VerificationRun(models.Model):
    """The one verification of the whole record that all people share: whether one is wanted, how far it has come, and
    what the last one found. One row.

    `result` has the keys `holds`, `checked`, `head`, `problem`, `root`, `checkpoint`, `note`; empty before the first.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    is_wanted = models.BooleanField(default=False)
    asked_at = models.DateTimeField(null=True)
    asked_by = models.CharField(max_length=150, blank=True)
    lease_until = models.DateTimeField(null=True)
    epoch = models.PositiveIntegerField(default=0)
    checked = models.BigIntegerField(default=0)
    total = models.BigIntegerField(default=0)
    finished_at = models.DateTimeField(null=True)
    result = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"verification, {self.checked} of {self.total}" if self.is_wanted else "no verification under way"
