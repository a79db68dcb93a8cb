"""Whether the record holds: the chain from its first record on, against what was signed outside the database."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.conf import settings

from mlorch_site.audit.chain import Walk, format_time
from mlorch_site.audit.checkpoint_copies import readable_copies
from mlorch_site.audit.checkpointing import BEGUN, checkpoint_file
from mlorch_site.audit.checkpoints import Checkpoint, CheckpointFile, Witness, line_hash, witness_of
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

    `unsigned` records are newer than that, the first of them of `unsigned_since`. `compared` are the places whose
    checkpoints were held against it. `note` is what a reader should know although everything holds.
    """

    checked: int
    head: str
    problem: str = ""
    root: str = ""
    newest: Checkpoint | None = None
    note: str = ""
    unsigned: int = 0
    unsigned_since: str = ""
    compared: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.problem


def verify(records: Iterable[StoredRecord] | None = None) -> Verification:
    """Walk the chain from its first record; name the first record that was edited, deleted, reordered or forked, and
    what the checkpoints, here and in each copy that can be read, know of that is gone or was rewritten.

    `records` are all that are stored, for whoever wants to watch them go by.
    """
    try:
        keys = trusted_keys()
    except Unavailable as error:
        return Verification(0, Walk().head, error.message)
    own = checkpoint_file().read(keys)
    copies, notes = _copies(own, keys)
    said = [own, *copies]
    walk = Walk()
    problem = walk.through(records or stored_records(), _roots(said))
    newest, place = _newest(said)
    problem = problem or _against_checkpoints(walk.count, said, newest, place) or _against_head(walk, said)
    unsigned, since = (0, "") if problem else _unsigned(walk.count, newest)
    if unsigned:
        notes.insert(0, f"Only the chain vouches for the newest {unsigned}, recorded since {since}.")
    notes = notes if newest or problem or not walk.count else [NO_CHECKPOINT, *notes[1:]]
    return Verification(
        checked=walk.count,
        head=walk.head,
        problem=problem,
        root=walk.peaks.root().hex(),
        newest=newest,
        note=" ".join(notes),
        unsigned=unsigned,
        unsigned_since=since,
        compared=tuple(dict.fromkeys(witness.name for witness in said)),
    )


def _unsigned(count: int, newest: Checkpoint | None) -> tuple[int, str]:
    """How many records are newer than the newest checkpoint, and when the first of them was written."""
    size = newest.size if newest else 0
    first = AuditRecord.objects.filter(sequence=size + 1).values_list("at", flat=True).first()
    return (count - size, format_time(first)) if count > size and first else (0, "")


def _copies(own: Witness, keys: dict[str, Ed25519PublicKey]) -> tuple[list[Witness], list[str]]:
    """What the copies say, without what was put aside when checkpoints began anew; and notes on those that say
    nothing.
    """
    known = {line_hash(checkpoint.line()) for checkpoint in own.checkpoints}
    put_aside, found, notes = _put_aside(), [], []
    for copy in readable_copies():
        try:
            series = copy.read(known)
        except Unavailable as error:
            notes.append(f"The copy {copy.label} could not be read and was not compared: {error.message}")
            continue
        if old := series.keys() & put_aside.keys():
            notes.append(f"{len(old)} series of checkpoints in {copy.label} were put aside by a record.")
        found += [witness_of(copy.label, lines, keys) for name, lines in series.items() if name not in old]
    return found, notes


def _put_aside() -> dict[str, set[str]]:
    """Series that count no longer → the hashes of their newest lines, by the records that say so."""
    found: dict[str, set[str]] = {}
    for data in AuditRecord.objects.filter(action=BEGUN).values_list("data", flat=True):
        for series, ends in data.get("put_aside", {}).items():
            found.setdefault(series, set()).update(ends)
    return found


def _newest(said: list[Witness]) -> tuple[Checkpoint | None, str]:
    """The checkpoint over the most records, and the place that has it."""
    all_of_them = ((checkpoint, witness.name) for witness in said for checkpoint in witness.checkpoints)
    return max(all_of_them, key=lambda found: found[0].size, default=(None, ""))


def signed_checkpoints() -> list[Checkpoint]:
    """The checkpoints of our own file that are vouched for, oldest first. Raises Unavailable."""
    return checkpoint_file().read(trusted_keys()).checkpoints


def _against_checkpoints(count: int, said: list[Witness], newest: Checkpoint | None, place: str) -> str:
    for size, roots in _roots(said).items():
        if len(roots) > 1:
            return f"The checkpoints of {size} records have different roots in {' and '.join(roots.values())}."
    if newest is not None and newest.size > count:
        gone = f"Records #{count + 1} to #{newest.size}" if count + 1 < newest.size else f"Record #{newest.size}"
        return f"{gone}, signed at {newest.at} as {place} says, {'were' if count + 1 < newest.size else 'was'} cut off."
    return next((witness.problem for witness in said if witness.problem), "")


def _roots(said: list[Witness]) -> dict[int, dict[str, str]]:
    """Number of records → the roots that were signed over them, each with the first place that says so."""
    roots: dict[int, dict[str, str]] = {}
    for witness in said:
        for checkpoint in witness.checkpoints:
            roots.setdefault(checkpoint.size, {}).setdefault(checkpoint.root, witness.name)
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
    own = checkpoint_file().read_newest(keys)
    said = [own, *_newest_of_folder(keys)]
    newest, _ = _newest(said)
    problem = next((w.problem for w in said if w.problem), "") or missing_checkpoint(head, own)
    return Standing(head.sequence, head.hash, newest, _ends(head, newest) or problem, _overdue(head))


def _newest_of_folder(keys: dict[str, Ed25519PublicKey]) -> list[Witness]:
    """What the copy next door, which costs nothing to look at, says last, unless a record put it aside."""
    if not settings.AUDIT_COPY_DIR:
        return []
    said = CheckpointFile(Path(settings.AUDIT_COPY_DIR)).read_newest(keys)
    put_aside = {end for ends in _put_aside().values() for end in ends}
    return [] if line_hash(said.newest_line) in put_aside else [said]


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
