"""Delivering checkpoints to second places: each by itself, in order, until it has them all.

What a place lacks follows from our file and from the row that says how far the place is. A line may be sent again when
a process ends in between; every place takes it for the same line.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from mlorch_site.audit.checkpoint_copies import CheckpointCopy, copies, place_of
from mlorch_site.audit.checkpointing import checkpoint_file
from mlorch_site.audit.checkpoints import UNREADABLE, line_hash, read_checkpoint, series_of
from mlorch_site.audit.models import AuditHead, CopyDelivery
from mlorch_site.lib import clock
from mlorch_site.lib.errors import DomainError, Unavailable
from mlorch_site.lib.swap import swap

log = structlog.get_logger(__name__)

RETRY_FIRST = timedelta(seconds=10)
RETRY_MAX = timedelta(minutes=15)
SENDING_MAX = timedelta(seconds=60)  # then the rest waits for the next time
CLAIM = timedelta(minutes=5)  # longer than the last sending that begins within that can take
OVERDUE = timedelta(minutes=10)


def is_copy_due() -> bool:
    """Whether a place lacks checkpoints and may be tried again (reads a row per place)."""
    head, now = AuditHead.objects.filter(pk=1).first(), clock.now()
    places = [place_of(copy) for copy in copies()]
    if head is None or not head.checkpoint_size or not places:
        return False
    known = {row.place: row for row in CopyDelivery.objects.filter(pk__in=places)}
    rows = [known.get(place) for place in places]
    return any(
        row is None or (row.delivered_size != head.checkpoint_size and row.next_attempt_at <= now) for row in rows
    )


def copies_send(*, now: datetime) -> None:
    """Send each place what it lacks, unless it failed and its next attempt is still to come; what fails is kept in its
    row and logged, and holds up nothing else.
    """
    for copy in copies():
        row = _row_of(copy, now)
        if row.next_attempt_at <= now and swap(row, "next_attempt_at", "delivered_line", next_attempt_at=now + CLAIM):
            _send(copy, row)


def _row_of(copy: CheckpointCopy, now: datetime) -> CopyDelivery:
    place = place_of(copy)
    row = CopyDelivery.objects.filter(pk=place).first()
    if row is None:
        begin = {"delivered_line": _begin_after(copy), "next_attempt_at": now}
        row, _ = CopyDelivery.objects.get_or_create(place=place, defaults=begin)
    return row


def _begin_after(copy: CheckpointCopy) -> str:
    """The line after which a new place begins: none, or for one that keeps nothing the last but one."""
    if copy.keeps:
        return ""
    try:
        lines = checkpoint_file().newest_lines()
    except OSError:
        return ""  # reading it again to send it says why
    return line_hash(lines[-2]) if len(lines) > 1 else ""


def _send(copy: CheckpointCopy, row: CopyDelivery) -> None:
    began = clock.now()
    try:
        series, lines = _missing(copy, row)
        while lines and clock.now() - began < SENDING_MAX:
            sent, lines = lines[: copy.at_once], lines[copy.at_once :]
            copy.send(series, sent)
            _note_delivered(row, sent[-1])
    except DomainError as error:
        _note_failure(copy, row, error.message)
    except Exception as error:  # of a library: one place holds up no other
        _note_failure(copy, row, f"It failed unexpectedly ({type(error).__name__}).")
    else:
        _let_go(row, failures=0, last_error="", next_attempt_at=clock.now())


def _missing(copy: CheckpointCopy, row: CopyDelivery) -> tuple[str, list[bytes]]:
    """The series, and what the place lacks of it, oldest first. Raises Unavailable."""
    file = checkpoint_file()
    try:
        lines = file.lines_after(row.delivered_line)
        series = series_of(file.first_line())
    except OSError as error:
        raise Unavailable(f"{file.path} cannot be read ({type(error).__name__}).") from error
    for line in lines:
        _require_checkpoint(line, str(file.path))
    return series, lines


def _require_checkpoint(line: bytes, name: str) -> None:
    try:
        read_checkpoint(line)
    except UNREADABLE as error:
        raise Unavailable(f"There is a line in {name} that is no checkpoint; nothing is sent after it.") from error


def _note_delivered(row: CopyDelivery, line: bytes) -> None:
    _let_go(row, delivered_line=line_hash(line), delivered_size=read_checkpoint(line).size, delivered_at=clock.now())


def _note_failure(copy: CheckpointCopy, row: CopyDelivery, reason: str) -> None:
    failures = row.failures + 1
    wait = min(RETRY_FIRST * 2 ** min(failures - 1, 16), RETRY_MAX)
    log.error("audit.copy_failed", place=copy.label, reason=reason, failures=failures)
    _let_go(row, failures=failures, last_error=reason, next_attempt_at=clock.now() + wait)


def _let_go(row: CopyDelivery, **values: object) -> None:
    """Write the row, unless its claim ran out and somebody else has it."""
    swap(row, "next_attempt_at", **values)


@dataclass(frozen=True)
class CopyStanding:
    """How far one place is: the checkpoints that wait for it, and since when the oldest of them does."""

    label: str
    delivered_size: int
    delivered_at: datetime | None
    waiting: int
    waiting_since: datetime | None
    failures: int
    last_error: str
    next_attempt_at: datetime | None

    @property
    def is_overdue(self) -> bool:
        return self.waiting_since is not None and clock.now() - self.waiting_since >= OVERDUE


def copy_standings() -> list[CopyStanding]:
    """How far each place that is configured is, at the cost of a row and the end of our file."""
    rows = {row.place: row for row in CopyDelivery.objects.all()}
    return [_standing(copy, rows.get(place_of(copy))) for copy in copies()]


def _standing(copy: CheckpointCopy, row: CopyDelivery | None) -> CopyStanding:
    row = row or CopyDelivery(place=place_of(copy), delivered_line=_begin_after(copy))
    try:
        lines, problem = _missing(copy, row)[1], ""
    except Unavailable as error:
        lines, problem = [], error.message
    since = datetime.fromisoformat(read_checkpoint(lines[0]).at) if lines else None
    return CopyStanding(
        label=copy.label,
        delivered_size=row.delivered_size,
        delivered_at=row.delivered_at,
        waiting=len(lines),
        waiting_since=since,
        failures=row.failures,
        last_error=row.last_error or problem,
        next_attempt_at=row.next_attempt_at,
    )
