"""Append to the record. Services call `audit_record` inside the transaction of the act."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection, transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.chain import chain_hash, hashed_content
from mlorch_site.audit.models import AuditHead, AuditRecord, AuditScope
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Unavailable
from mlorch_site.lib.hashing import settled

REASON_MAX_CHARS = 4000
READ_NOTED_EVERY = timedelta(minutes=5)
REFUSALS_NOTED_PER_MINUTE = 60
LABEL_MAX_CHARS = 300


@dataclass(frozen=True)
class Subject:
    """What an act was about: kind (`release`, `token`, …), id, and the label people know it by.

    Who may see one of its `scopes` sees the record; without any it is for those who see everything.
    """

    kind: str
    id: str
    label: str = ""
    scopes: tuple[str, ...] = ()


def audit_record(
    actor: Actor, action: str, subject: Subject, *, reason: str = "", data: dict[str, Any] | None = None
) -> AuditRecord:
    """Append one record under the head's row lock, so that two writers cannot fork the chain, and return it.

    Must run inside a transaction: an act without a record cannot exist. `action` is `<entity>.<past tense>`; `data` is
    JSON-able and carries digests before and after, versions, the policy revision. Raises Unavailable, which undoes the
    act, when the head row is gone.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("An audit record belongs into the transaction of its act.")
    head = AuditHead.objects.select_for_update().filter(pk=1).first()
    if head is None:
        raise Unavailable("The audit record's head row is missing, so nothing can be recorded or done.")
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
        data=settled(data or {}),
        previous_hash=head.hash,
    )
    record.hash = chain_hash(head.hash, hashed_content(record))
    record.save(force_insert=True)
    AuditHead.objects.filter(pk=1).update(sequence=record.sequence, hash=record.hash)
    AuditScope.objects.bulk_create(AuditScope(record=record, scope=scope) for scope in sorted(set(subject.scopes)))
    return record


@transaction.atomic
def export_note(*, actor: Actor) -> None:
    """Record that the log was exported."""
    actor.require(Action.AUDIT_VIEW)
    audit_record(actor, "audit.exported", Subject("audit", "log", "audit log"))


def refusal_note(
    *, actor: Actor, route: str, path: str, reason: str, data: dict[str, Any] | None = None
) -> AuditRecord | None:
    """Record what an actor was refused, and not more of it a minute than a person does by hand: None beyond that."""
    since = clock.now() - timedelta(minutes=1)
    lately = AuditRecord.objects.filter(actor=actor.name, action="act.refused", at__gte=since)
    if lately.count() >= REFUSALS_NOTED_PER_MINUTE:
        return None
    with transaction.atomic():
        return audit_record(actor, "act.refused", Subject("route", route[:64], path), reason=reason, data=data)


def page_read(*, actor: Actor, route: str, path: str) -> None:
    """Record that a person read a page; the same page again within minutes is the same reading."""
    subject = Subject("page", route[:64], path[:LABEL_MAX_CHARS])
    since = clock.now() - READ_NOTED_EVERY
    known = AuditRecord.objects.filter(actor=actor.name, action="page.read", subject_id=subject.id, at__gte=since)
    if not known.filter(subject_label=subject.label).exists():
        with transaction.atomic():
            audit_record(actor, "page.read", subject)
