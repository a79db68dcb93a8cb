"""What links the records into a chain, and how it is verified.

hash = SHA-256("mlorch.audit.v1\\n" + previous hash + "\\n" + canonical JSON of the record's content). The prefix
separates this use of the hash from every other. Times are UTC with microseconds.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlorch_site.audit.models import AuditHead, AuditRecord
from mlorch_site.lib.hashing import canonical_json

DOMAIN = b"mlorch.audit.v1\n"
GENESIS = "0" * 64
CONTENT_FIELDS = (
    "sequence",
    "at",
    "actor_kind",
    "actor",
    "on_behalf_of",
    "address",
    "request_id",
    "action",
    "subject_kind",
    "subject_id",
    "subject_label",
    "reason",
    "data",
)


def hashed_content(record: AuditRecord) -> dict[str, Any]:
    """What the hash covers, as JSON-able values."""
    content = {name: getattr(record, name) for name in CONTENT_FIELDS}
    content["at"] = format_time(record.at)
    return content


def format_time(moment: datetime) -> str:
    """UTC with six digits of microseconds, as the chain stores time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def chain_hash(previous: str, content: dict[str, Any]) -> str:
    """The hash of a record with `content` that follows a record with hash `previous`."""
    return hashlib.sha256(DOMAIN + previous.encode() + b"\n" + canonical_json(content)).hexdigest()


@dataclass(frozen=True)
class Verification:
    """The outcome of walking the chain: how many records hold, and the first thing that does not."""

    checked: int
    head: str
    problem: str = ""

    @property
    def holds(self) -> bool:
        return not self.problem


def verify(records: Iterable[AuditRecord] | None = None) -> Verification:
    """Walk the chain from its first record; name the first record that was edited, deleted, reordered or forked."""
    if records is None:
        records = AuditRecord.objects.order_by("sequence").iterator(chunk_size=5000)
    previous, count = GENESIS, 0
    for record in records:
        if record.sequence != count + 1:
            return Verification(count, previous, f"Record #{count + 1} is missing: the next one is #{record.sequence}.")
        if record.previous_hash != previous:
            return Verification(count, previous, f"Record #{record.sequence} does not follow the record before it.")
        if chain_hash(previous, hashed_content(record)) != record.hash:
            return Verification(count, previous, f"Record #{record.sequence} was changed after it was written.")
        previous, count = record.hash, record.sequence
    return _compare_with_head(count, previous)


def _compare_with_head(count: int, last_hash: str) -> Verification:
    head = AuditHead.objects.get(pk=1)
    if head.sequence < count or (head.sequence == count and head.hash != last_hash):
        return Verification(count, last_hash, "The head row does not match the newest record.")
    if head.sequence > count and not AuditRecord.objects.filter(sequence=head.sequence).exists():
        return Verification(count, last_hash, f"Records #{count + 1} to #{head.sequence} were cut off.")
    return Verification(count, last_hash)
