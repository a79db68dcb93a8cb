"""What links the records into a chain, and the walk along it.

hash = SHA-256("mlorch.audit.v1\\n" + previous hash + "\\n" + canonical JSON of the record's content). The prefix
separates this use of the hash from every other. Times are UTC with microseconds.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mlorch_site.audit.merkle import Peaks
from mlorch_site.audit.models import AuditRecord
from mlorch_site.audit.records import TEXTS, StoredRecord, Unreadable
from mlorch_site.lib.hashing import canonical_json

DOMAIN = b"mlorch.audit.v1\n"
GENESIS = "0" * 64
CONTENT_FIELDS = ("sequence", "at", *TEXTS, "data")


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


@dataclass
class Walk:
    """Where a walk along the chain stands: how many records hold, the hash of the last, and the tree over all of them.

    The tree's entries are the records' hashes.
    """

    count: int = 0
    head: str = GENESIS
    peaks: Peaks = field(default_factory=Peaks)

    def through(self, records: Iterable[StoredRecord], signed: Mapping[int, Mapping[str, str]] | None = None) -> str:
        """Go on through `records` and say what is wrong with the first that does not hold; empty when all do.

        `signed` maps a number of records to the roots that were signed over them, and each root to where it says so.
        """
        said = signed or {}
        try:
            for record in records:
                if problem := self._problem_of(record):
                    return problem
                self.count, self.head = record.sequence, record.hash
                self.peaks.add(bytes.fromhex(record.hash))
                if record.sequence in said and (problem := self._disagreement(said[record.sequence])):
                    return problem
        except Unreadable as error:
            return f"Record #{self.count + 1} cannot be read ({error}): it was changed after it was written."
        return ""

    def _disagreement(self, roots: Mapping[str, str]) -> str:
        root = self.peaks.root().hex()
        others = [place for other, place in roots.items() if other != root]
        if not others:
            return ""
        if root in roots:
            return (
                f"The checkpoint of {self.count} records in {others[0]} is of other records than {roots[root]} signed."
            )
        return (
            f"The first {self.count} records are not those that were signed: they were rewritten, as {others[0]} shows."
        )

    def _problem_of(self, record: StoredRecord) -> str:
        if record.sequence != self.count + 1:
            return f"Record #{self.count + 1} is missing: the next one is #{record.sequence}."
        if record.previous_hash != self.head:
            return f"Record #{record.sequence} does not follow the record before it."
        try:
            is_same = chain_hash(self.head, record.content) == record.hash
        except ValueError:  # JSON that has no canonical form
            is_same = False
        return "" if is_same else f"Record #{record.sequence} was changed after it was written."
