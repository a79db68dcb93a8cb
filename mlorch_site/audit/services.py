"""Append to the record. Services call `audit_record` inside the transaction of the act."""

from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.chain import chain_hash, hashed_content
from mlorch_site.audit.models import AuditHead, AuditRecord
from mlorch_site.lib import clock

REASON_MAX_CHARS = 4000
LABEL_MAX_CHARS = 300


@dataclass(frozen=True)
class Subject:
    """What an act was about: kind (`release`, `token`, …), id, and the label people know it by."""

    kind: str
    id: str
    label: str = ""


def audit_record(
    actor: Actor, action: str, subject: Subject, *, reason: str = "", data: dict[str, Any] | None = None
) -> AuditRecord:
    """Append one record under the head's row lock, so that two writers cannot fork the chain, and return it.

    Must run inside a transaction: an act without a record cannot exist. `action` is `<entity>.<past tense>`; `data` is
    JSON-able and carries digests before and after, versions, the policy revision.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("An audit record belongs into the transaction of its act.")
    head = AuditHead.objects.select_for_update().get(pk=1)
    record = AuditRecord(
        sequence=head.sequence + 1,
        at=clock.now(),
        actor_kind=actor.kind,
        actor=actor.name,
        on_behalf_of=actor.on_behalf_of,
        address=actor.address,
        request_id=actor.request_id,
        action=action,
        subject_kind=subject.kind,
        subject_id=subject.id,
        subject_label=subject.label[:LABEL_MAX_CHARS],
        reason=reason[:REASON_MAX_CHARS],
        data=data or {},
        previous_hash=head.hash,
    )
    record.hash = chain_hash(head.hash, hashed_content(record))
    record.save(force_insert=True)
    AuditHead.objects.filter(pk=1).update(sequence=record.sequence, hash=record.hash)
    return record


@transaction.atomic
def export_note(*, actor: Actor) -> None:
    """Record that the log was exported."""
    actor.require(Action.AUDIT_VIEW)
    audit_record(actor, "audit.exported", Subject("audit", "log", "audit log"))
