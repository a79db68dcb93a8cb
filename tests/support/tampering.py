"""Somebody who has the database, but not the key and the file of checkpoints."""

from django.db import connection, transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.chain import GENESIS, chain_hash, hashed_content
from mlorch_site.audit.models import AuditHead, AuditRecord
from mlorch_site.audit.services import Subject, audit_record

TRIGGERS = {
    "audit_auditrecord": ("audit_no_update", "audit_no_delete", "audit_no_replace"),
    "audit_audithead": ("audit_head_no_delete", "audit_head_no_replace", "audit_head_no_return"),
}


def acts(count: int, actor: str = "emma") -> None:
    """Append records of `count` acts."""
    with transaction.atomic():
        for number in range(count):
            audit_record(Actor(kind="person", name=actor), "thing.done", Subject("thing", str(number)), data={"n": 1})


def without_triggers() -> None:
    """Take the triggers away, as who owns the database can."""
    with connection.cursor() as cursor:
        for table, names in TRIGGERS.items():
            if connection.vendor == "postgresql":
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
                continue
            for name in names:
                cursor.execute(f"DROP TRIGGER {name}")


def cut(to: int) -> None:
    """Cut the newest records and set the head back."""
    without_triggers()
    AuditRecord.objects.filter(sequence__gt=to).delete()
    last = AuditRecord.objects.filter(sequence=to).first()
    AuditHead.objects.update(sequence=to, hash=last.hash if last else GENESIS)


def rewrite() -> None:
    """Write the whole chain anew, as consistent as before, with another reason in every record."""
    without_triggers()
    previous = GENESIS
    for record in AuditRecord.objects.order_by("sequence"):
        record.reason, record.previous_hash = "nothing happened", previous
        record.hash = previous = chain_hash(previous, hashed_content(record))
        record.save(force_update=True)
    AuditHead.objects.update(hash=previous)
