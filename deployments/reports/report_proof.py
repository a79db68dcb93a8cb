"""Whether a report is the one that was written: held against the audit record, and that against what was signed.

A digest that lies beside its document proves nothing; the one in the audit record is covered by the record's chain, and
the chain by checkpoints that lie outside the database.
"""

from dataclasses import asdict, dataclass
from typing import Any

from deployments.models import Report
from deployments.reports.report_writing import REPORT_CREATED
from mlorch_site.audit.chain import chain_hash
from mlorch_site.audit.checkpointing import checkpoint_file
from mlorch_site.audit.checkpoints import UNREADABLE, Checkpoint, read_checkpoint, witness_of
from mlorch_site.audit.merkle import Peaks, inclusion_proof_after, is_included, leaf_hash
from mlorch_site.audit.models import AuditRecord
from mlorch_site.audit.records import StoredRecord, Unreadable, stored_records
from mlorch_site.audit.signing import trusted_keys
from mlorch_site.lib.errors import Unavailable
from mlorch_site.lib.hashing import content_hash

PROVED_MAX = 20_000  # records between two checkpoints that a proof is computed from
REWRITTEN = "The audit records are not those that were signed"
UNRECORDED = "It was written before digests of reports went into the audit record, so nothing outside of it vouches."


@dataclass(frozen=True)
class ReportProof:
    """`state`: `verified`, `differs` or `unrecorded`; `sentence` says what was compared with what.

    `checkpoint` is what covers the record: its size, root, time, key and the hashes of the way from the record up to
    the root (RFC 6962); None while there is none, and `note` says why.
    """

    state: str
    sentence: str
    record: dict[str, Any] | None = None
    checkpoint: dict[str, Any] | None = None
    note: str = ""

    def values(self) -> dict[str, Any]:
        """The proof as JSON-able values."""
        return asdict(self)


def proof_of(report: Report) -> ReportProof:
    """Compute the digest of a report again and hold it against the audit record (reads the database and a few lines of
    the file of checkpoints).
    """
    digest = _digest_of(report)
    if digest != report.digest:
        return ReportProof("differs", "The document is not the one whose digest lies beside it: it was changed.")
    sequences = list(_recorded(report).order_by("sequence").values_list("sequence", flat=True)[:2])
    if not sequences:
        return ReportProof("unrecorded" if report.document.get("format") == 1 else "differs", _without_record(report))
    try:
        record = next(stored_records(after=sequences[0] - 1, until=sequences[0]))
    except Unreadable:
        return ReportProof("differs", f"Audit record #{sequences[0]} cannot be read: it was changed.")
    if problem := _problem_of(record, report, digest) or _problem_of_range(report):
        return ReportProof("differs", problem)
    told = {"sequence": record.sequence, "previous_hash": record.previous_hash, "hash": record.hash}
    covered, note = _covered(record)
    if note.startswith(REWRITTEN):
        return ReportProof("differs", note)
    sentence = f"The hash was computed again and is the one that audit record #{record.sequence} took down."
    return ReportProof("verified", sentence, {**told, "content": record.content}, covered, note)


def _digest_of(report: Report) -> str:
    try:
        return content_hash(report.document)
    except ValueError:  # JSON that has no canonical form was never hashed
        return ""


def _recorded(report: Report) -> Any:
    return AuditRecord.objects.filter(subject_kind="report", subject_id=str(report.pk), action=REPORT_CREATED)


def _without_record(report: Report) -> str:
    if report.document.get("format") == 1:
        return UNRECORDED
    return "The audit record says nothing of this report, although reports of its format are recorded when written."


def _problem_of(record: StoredRecord, report: Report, digest: str) -> str:
    try:
        is_same = chain_hash(record.previous_hash, record.content) == record.hash
    except ValueError:
        is_same = False
    if not is_same:
        return f"Audit record #{record.sequence} was changed after it was written."
    said = record.content["data"]
    if said.get("digest") != digest:
        return f"Audit record #{record.sequence} took down another digest: the report was changed."
    if report.release_id and said.get("release") != str(report.release_id):
        return f"Audit record #{record.sequence} is of the report of another release."
    return ""


def _problem_of_range(report: Report) -> str:
    """What is wrong with the audit records that the document names, by their hashes."""
    audit = report.document.get("audit") or {}
    named = {row["sequence"]: row["hash"] for row in audit.get("records", [])}
    stored = dict(AuditRecord.objects.filter(sequence__in=named).values_list("sequence", "hash"))
    others = sorted(number for number, own in named.items() if stored.get(number) != own)
    return f"Audit record #{others[0]}, which the report names, is not as it was then." if others else ""


def _covered(record: StoredRecord) -> tuple[dict[str, Any] | None, str]:
    """The first signed checkpoint that covers the record, with the way up to its root; or why there is none."""
    file = checkpoint_file()
    try:
        before, line = file.around(record.sequence)
        if not line:
            return None, "No signed checkpoint covers the audit record yet; the next one will."
        checkpoint = read_checkpoint(line)
        if problem := witness_of(str(file.path), [line], trusted_keys()).problem:
            return None, problem
        known = read_checkpoint(before) if before else None
    except (OSError, Unavailable, *UNREADABLE) as error:
        return None, f"The checkpoints cannot be read ({type(error).__name__})."
    return _proved(record, checkpoint, known)


def _proved(
    record: StoredRecord, checkpoint: Checkpoint, known: Checkpoint | None
) -> tuple[dict[str, Any] | None, str]:
    start = known.size if known else 0
    told = {name: value for name, value in asdict(checkpoint).items() if name != "peaks"}
    if checkpoint.size - start > PROVED_MAX:
        return (
            None,
            f"The checkpoint of {checkpoint.size} records covers it; the way to its root is too long.",
        )
    rows = AuditRecord.objects.filter(sequence__gt=start, sequence__lte=checkpoint.size).order_by("sequence")
    leaves = [leaf_hash(bytes.fromhex(own)) for own in rows.values_list("hash", flat=True)]
    if len(leaves) != checkpoint.size - start:
        return None, f"{REWRITTEN}: some that the checkpoint of {checkpoint.size} covers are missing."
    peaks = known.walk().peaks if known else Peaks()
    index = record.sequence - 1
    way = inclusion_proof_after(peaks, leaves, index)
    own = leaf_hash(bytes.fromhex(record.hash))
    if not is_included(own, index, checkpoint.size, way, bytes.fromhex(checkpoint.root)):
        return None, f"{REWRITTEN}: the checkpoint of {checkpoint.size} is of others."
    return {**told, "index": index, "way": [one.hex() for one in way]}, ""
