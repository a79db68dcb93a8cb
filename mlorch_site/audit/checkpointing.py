"""Writing checkpoints: when one is due, and what is signed."""

import contextlib
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import structlog
from django.conf import settings
from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.chain import Walk, format_time
from mlorch_site.audit.checkpoint_copies import readable_copies
from mlorch_site.audit.checkpoints import (
    FILE_NAME,
    PUBLIC_KEY_FILE,
    Checkpoint,
    CheckpointFile,
    Witness,
    by_series,
    line_hash,
    signed,
)
from mlorch_site.audit.models import AuditHead, CopyDelivery
from mlorch_site.audit.records import stored_records
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.audit.signing import public_pem, signing_key, signing_key_make, trusted_keys
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, DomainError, Invalid, Unavailable

log = structlog.get_logger(__name__)

SAID_EVERY = timedelta(minutes=10)  # what is tried every few seconds is not said as often
NEVER = datetime.min.replace(tzinfo=UTC)
_said_at: dict[str, datetime] = {}
BEGUN = "audit.checkpoints_begun"
RECORDS_MAX = 200  # so many new records are not left without a checkpoint, however young they are


def checkpoint_file() -> CheckpointFile:
    """The file in which checkpoints are kept."""
    return CheckpointFile(Path(settings.AUDIT_CHECKPOINT_DIR))


def is_due() -> bool:
    """Whether there are new records, and enough of them or old enough (reads the head row)."""
    head, now = AuditHead.objects.filter(pk=1).first(), clock.now()
    if head is None or head.sequence <= head.checkpoint_size:
        return False
    waited = timedelta(seconds=settings.AUDIT_CHECKPOINT_S)
    is_old = head.checkpoint_at is None or now - head.checkpoint_at >= waited
    return is_old or head.sequence - head.checkpoint_size >= RECORDS_MAX


def checkpoint_write(*, now: datetime) -> Checkpoint | None:
    """Sign what was recorded since the last checkpoint, and return the new one; None when nothing was.

    Only what follows what was signed before is signed. Raises Conflict when the record does not go on from the last
    checkpoint, and Unavailable when key or file cannot be used.
    """
    file = checkpoint_file()
    try:
        signing_key_make()
        with file.locked():
            return _write(file, now)
    except OSError as error:
        raise Unavailable(f"The checkpoint cannot be written to {file.path} ({type(error).__name__}).") from error


def _write(file: CheckpointFile, now: datetime) -> Checkpoint | None:
    head = AuditHead.objects.filter(pk=1).first()
    if head is None:
        raise Conflict("The audit record's head row is missing; nothing is signed.")
    witness = file.read_newest(trusted_keys())
    last = _last(witness, head)
    if last is not None and last.size == head.sequence:
        _note(last, now)
        return None
    if head.sequence == 0:
        return None
    walk = last.walk() if last else Walk()
    made = _signed(walk, head=head, previous=witness.newest_line, now=now)
    _publish_key(file)
    file.add(made.line())
    _note(made, now)
    return made


def _last(witness: Witness, head: AuditHead) -> Checkpoint | None:
    """The checkpoint to go on from. Raises Conflict when the record does not contain it."""
    if witness.problem:
        raise Conflict(f"{witness.problem} Nothing is signed after it.")
    last = witness.newest
    if last is None and head.checkpoint_size:
        raise Conflict(f"The checkpoint of {head.checkpoint_size} records is missing from {witness.name}.")
    if last is not None and last.size > head.sequence:
        raise Conflict(f"{last.size} records were signed and only {head.sequence} are there.")
    return last


def _signed(walk: Walk, *, head: AuditHead, previous: bytes, now: datetime) -> Checkpoint:
    problem = walk.through(stored_records(after=walk.count, until=head.sequence))
    if problem or walk.head != head.hash:
        raise Conflict(f"{problem or 'The head row does not match the newest record.'} Nothing is signed after it.")
    return signed(walk, at=format_time(now), previous=previous, key=signing_key())


def _publish_key(file: CheckpointFile) -> None:
    public = public_pem(signing_key().public_key())
    path = file.path.with_name(PUBLIC_KEY_FILE)
    if not path.exists() or path.read_text() != public:
        path.write_text(public)


def _note(made: Checkpoint, now: datetime) -> None:
    AuditHead.objects.filter(pk=1, checkpoint_size__lt=made.size).update(checkpoint_size=made.size, checkpoint_at=now)


def checkpoint_if_due() -> None:
    """Write one when it is due; what cannot be written is logged, and told by the page and by `audit_verify`."""
    if is_due():
        checkpoint_or_log()


def checkpoint_or_log() -> None:
    """Write one for what is new, however young; what prevents it is logged."""
    try:
        checkpoint_write(now=clock.now())
    except DomainError as error:
        if clock.now() - _said_at.get(error.message, NEVER) > SAID_EVERY:
            _said_at.clear()
            _said_at[error.message] = clock.now()
            log.error("audit.checkpoint_refused", reason=error.message)


def checkpoints_begin_anew(*, actor: Actor, reason: str) -> Checkpoint | None:
    """Put the checkpoints so far aside and begin with those of the record as it is, after a restore or a loss.

    That it was done, why, and which checkpoints count no longer, here and in the copies that can be read now, is a
    record itself. Raises Invalid without a reason.
    """
    if not reason.strip():
        raise Invalid("Say why the checkpoints begin anew.", details={"reason": "required"})
    file, now = checkpoint_file(), clock.now()
    put_aside = _ends_of_series(file)
    with contextlib.suppress(FileNotFoundError):
        file.path.rename(file.path.with_name(f"{FILE_NAME}.until-{now:%Y%m%dT%H%M%SZ}"))
    with transaction.atomic():
        AuditHead.objects.filter(pk=1).update(checkpoint_size=0, checkpoint_at=None)
        CopyDelivery.objects.update(delivered_size=0, next_attempt_at=now)
        subject = Subject("audit", "log", "audit log")
        audit_record(actor, BEGUN, subject, reason=reason, data={"put_aside": put_aside})
    return checkpoint_write(now=now)


def _ends_of_series(file: CheckpointFile) -> dict[str, list[str]]:
    """Series → the hashes of the newest line of each place that has it."""
    ends: dict[str, set[str]] = defaultdict(set)
    reads: list[Callable[[], dict[str, list[bytes]]]] = [lambda: by_series(file.lines())]
    reads += [partial(copy.read, ()) for copy in readable_copies()]
    for read in reads:
        with contextlib.suppress(OSError, Unavailable):
            for series, lines in read().items():
                ends[series].add(line_hash(lines[-1]))
    return {series: sorted(hashes) for series, hashes in ends.items()}
