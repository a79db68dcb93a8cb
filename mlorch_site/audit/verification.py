"""Whether the record holds: the chain from its first record on, against what was signed outside the database."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings

from mlorch_site.audit.chain import Walk, format_time
from mlorch_site.audit.checkpointing import checkpoint_file
from mlorch_site.audit.checkpoints import Checkpoint, CheckpointFile, Witness
from mlorch_site.audit.models import AuditHead, AuditRecord
from mlorch_site.audit.records import StoredRecord, stored_records
from mlorch_site.audit.signing import trusted_keys
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Unavailable

NO_HEAD = "The head row is missing, so nothing says how many records there were."
OVERDUE = timedelta(minutes=10)
NO_CHECKPOINT = "No checkpoint outside the database vouches for it yet."


@dataclass(frozen=True)
class Verification:
    """How many records hold, the first thing that does not, and the newest checkpoint that vouches for them.

    `note` is what a reader should know although everything holds.
    """

    checked: int
    head: str
    problem: str = ""
    root: str = ""
    newest: Checkpoint | None = None
    note: str = ""

    @property
    def holds(self) -> bool:
        return not self.problem


def _files() -> list[CheckpointFile]:
    copy = [CheckpointFile(Path(settings.AUDIT_COPY_DIR))] if settings.AUDIT_COPY_DIR else []
    return [checkpoint_file(), *copy]


def verify(records: Iterable[StoredRecord] | None = None) -> Verification:
    """Walk the chain from its first record; name the first record that was edited, deleted, reordered or forked, and
    what the checkpoints know of that is gone or was rewritten.

    `records` are all that are stored, for whoever wants to watch them go by.
    """
    try:
        keys = trusted_keys()
    except Unavailable as error:
        return Verification(0, Walk().head, error.message)
    said = [file.read(keys) for file in _files()]
    signed = {checkpoint.size: checkpoint for witness in said for checkpoint in witness.checkpoints}
    walk = Walk()
    problem = walk.through(records or stored_records(), {size: checkpoint.root for size, checkpoint in signed.items()})
    newest = signed[max(signed)] if signed else None
    problem = problem or _against_checkpoints(walk.count, said, newest) or _against_head(walk, said)
    note = "" if newest or problem or not walk.count else NO_CHECKPOINT
    return Verification(walk.count, walk.head, problem, walk.peaks.root().hex(), newest, note)


def signed_checkpoints() -> list[Checkpoint]:
    """The checkpoints of our own file that are vouched for, oldest first. Raises Unavailable."""
    return checkpoint_file().read(trusted_keys()).checkpoints


def _against_checkpoints(count: int, said: list[Witness], newest: Checkpoint | None) -> str:
    disagreeing = [root for root in _roots(said).values() if len(root) > 1]
    if disagreeing:
        return "Two checkpoints of the same number of records have different roots: one of them was made elsewhere."
    if newest is not None and newest.size > count:
        gone = f"Records #{count + 1} to #{newest.size}" if count + 1 < newest.size else f"Record #{newest.size}"
        return f"{gone}, signed at {newest.at}, {'were' if count + 1 < newest.size else 'was'} cut off."
    return next((witness.problem for witness in said if witness.problem), "")


def _roots(said: list[Witness]) -> dict[int, set[str]]:
    roots: dict[int, set[str]] = {}
    for witness in said:
        for checkpoint in witness.checkpoints:
            roots.setdefault(checkpoint.size, set()).add(checkpoint.root)
    return roots


def _against_head(walk: Walk, said: list[Witness]) -> str:
    head = AuditHead.objects.filter(pk=1).first()
    if head is None:
        return NO_HEAD
    if head.sequence < walk.count or (head.sequence == walk.count and head.hash != walk.head):
        return "The head row does not match the newest record."
    if head.sequence > walk.count and not AuditRecord.objects.filter(sequence=head.sequence).exists():
        return f"Records #{walk.count + 1} to #{head.sequence} were cut off."
    return missing_checkpoint(head, said[0])


def missing_checkpoint(head: AuditHead, witness: Witness) -> str:
    """The sentence when the file does not go as far as the database remembers; empty when it does."""
    known = witness.newest.size if witness.newest else 0
    if known >= head.checkpoint_size:
        return ""
    return f"The checkpoint of {head.checkpoint_size} records is missing from {witness.name}."


@dataclass(frozen=True)
class Standing:
    """What can be said of the record without walking it: its end against the newest checkpoint.

    `note` is what a reader should know although everything holds.
    """

    records: int
    head: str
    newest: Checkpoint | None
    problem: str
    note: str = ""


def standing() -> Standing:
    """How the record stands, at the cost of a few rows and the newest checkpoint."""
    head = AuditHead.objects.filter(pk=1).first()
    if head is None:
        return Standing(AuditRecord.objects.count(), "", None, NO_HEAD)
    try:
        keys = trusted_keys()
    except Unavailable as error:
        return Standing(head.sequence, head.hash, None, error.message)
    said = [file.read_newest(keys) for file in _files()]
    newest = max((w.newest for w in said if w.newest), key=lambda checkpoint: checkpoint.size, default=None)
    problem = next((w.problem for w in said if w.problem), "") or missing_checkpoint(head, said[0])
    return Standing(head.sequence, head.hash, newest, _ends(head, newest) or problem, _overdue(head))


def _overdue(head: AuditHead) -> str:
    first = AuditRecord.objects.filter(sequence=head.checkpoint_size + 1).values_list("at", flat=True).first()
    if first is None or clock.now() - first < OVERDUE:
        return ""
    return f"{head.sequence - head.checkpoint_size} of them wait for a checkpoint since {format_time(first)}."


def _ends(head: AuditHead, newest: Checkpoint | None) -> str:
    wanted = {head.sequence: head.hash} | ({newest.size: newest.head} if newest else {})
    hashes = dict(AuditRecord.objects.filter(sequence__in=wanted).values_list("sequence", "hash"))
    if newest is not None and newest.size > head.sequence:
        return f"{newest.size} records were signed at {newest.at}, and only {head.sequence} are there."
    if newest is not None and hashes.get(newest.size) != newest.head:
        return f"Record #{newest.size} is not the one that was signed at {newest.at}: the record was rewritten."
    if head.sequence and hashes.get(head.sequence) != head.hash:
        return "The head row does not match the newest record."
    if AuditRecord.objects.filter(sequence__gt=head.sequence).exists():
        return "The head row is behind the newest record."
    return ""
