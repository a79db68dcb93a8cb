"""One verification of the whole record at a time, shared by all who ask: it reads every record, so it runs apart from
requests, says how far it has come, and what it found stays until the next one.
"""

from collections.abc import Generator
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max, Q, QuerySet

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action, Role
from mlorch_site.audit.models import AuditRecord, VerificationRun
from mlorch_site.audit.records import StoredRecord, stored_records
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.audit.verification import Verification, verify
from mlorch_site.lib import clock
from mlorch_site.lib.enqueue import TaskName, enqueue_on_commit
from mlorch_site.lib.errors import TooMany

VERIFY_AGAIN_AFTER = timedelta(minutes=10)  # for everybody but administrators
LEASE = timedelta(minutes=5)  # many times as long as one step takes, and longer than to read the copies of checkpoints
RECORDS_A_STEP = 5000
FOUND = (
    *("holds", "checked", "head", "problem", "root", "checkpoint", "note"),
    *("unsigned", "unsigned_since", "compared"),
)
VERIFY = TaskName("audit.verify", "work", expires_s=30)


class TakenOver(Exception):
    """Another process has taken this verification over."""


def verification_run() -> VerificationRun:
    """The verification that all share: under way, or what the last one found."""
    return VerificationRun.objects.filter(pk=1).first() or VerificationRun()


def why_not_verify(actor: Actor, run: VerificationRun) -> str:
    """Why this actor has to wait with the next verification, empty when it need not."""
    if not (wait_s := _wait_s(actor, run)):
        return ""
    return (
        "The last verification has only just ended, and each reads the whole record: the next may begin in "
        f"{-(-wait_s // 60)} minutes, or an administrator begins it now."
    )


def _wait_s(actor: Actor, run: VerificationRun) -> int:
    """Seconds until this actor may ask again."""
    if run.is_wanted or run.finished_at is None or Role.ADMINISTRATOR in actor.roles_in(()):
        return 0
    return max(0, int((run.finished_at + VERIFY_AGAIN_AFTER - clock.now()).total_seconds()))


@transaction.atomic
def verification_ask(*, actor: Actor) -> VerificationRun:
    """Have the whole record verified. Asking while one waits or is under way is harmless: it is the same one for all.

    Raises TooMany when the last one ended a short while ago and the actor is no administrator.
    """
    actor.require_write()
    if not actor.may_anywhere(Action.AUDIT_VIEW):
        actor.require(Action.AUDIT_VIEW)
    VerificationRun.objects.get_or_create(pk=1)
    run = VerificationRun.objects.select_for_update().get(pk=1)
    if run.is_wanted:
        return run
    if wait_s := _wait_s(actor, run):
        raise TooMany(why_not_verify(actor, run), retry_after_s=wait_s)
    run.is_wanted, run.asked_at, run.asked_by = True, clock.now(), actor.name
    run.checked, run.total, run.lease_until = 0, _newest(), None
    run.save()
    audit_record(actor, "audit.verification_asked", Subject("audit", "log", "audit log"))
    enqueue_on_commit(VERIFY)
    return run


def _newest() -> int:
    return AuditRecord.objects.aggregate(newest=Max("sequence"))["newest"] or 0


def _free(now: datetime) -> QuerySet[VerificationRun]:
    """The run while it is wanted and nobody is at it, or whoever was has died."""
    return VerificationRun.objects.filter(Q(lease_until=None) | Q(lease_until__lt=now), pk=1, is_wanted=True)


def is_waiting() -> bool:
    """Whether a verification is wanted and nobody is at it."""
    return _free(clock.now()).exists()


def verification_carry_out() -> None:
    """Carry the wanted verification out, unless somebody else is at it. Running it twice or at once is harmless."""
    epoch = _take()
    if epoch is None:
        return
    try:
        # Closed before anything is written: on SQLite an open read would not let its own connection write.
        with closing(_watched(epoch)) as records:
            result = verify(records)
        _finish(epoch, result)
    except TakenOver:
        return


def _take() -> int | None:
    """The epoch under which this process verifies, None when it is not its turn."""
    now = clock.now()
    run = _free(now).first()
    if run is None:
        return None
    values = {"epoch": run.epoch + 1, "lease_until": now + LEASE, "checked": 0, "total": _newest()}
    return run.epoch + 1 if _free(now).filter(epoch=run.epoch).update(**values) else None


def _write(epoch: int, **values: Any) -> None:
    """Write to the run. Raises TakenOver when it is another process's now."""
    if not VerificationRun.objects.filter(pk=1, epoch=epoch, is_wanted=True).update(**values):
        raise TakenOver


def _watched(epoch: int) -> Generator[StoredRecord, None, None]:
    """All records, step by step; between two steps it is told how far this has come."""
    newest = _newest()
    for after in range(0, newest, RECORDS_A_STEP):
        yield from stored_records(after, min(after + RECORDS_A_STEP, newest))
        _write(epoch, checked=min(after + RECORDS_A_STEP, newest), lease_until=clock.now() + LEASE)
    yield from stored_records(newest)


def _finish(epoch: int, result: Verification) -> None:
    found = {"is_wanted": False, "lease_until": None, "finished_at": clock.now(), "checked": result.checked}
    _write(epoch, **found, result=told(result))


def told(result: Verification) -> dict[str, Any]:
    """What was found, as people and programs are told it."""
    newest = result.newest
    checkpoint = {"size": newest.size, "root": newest.root, "at": newest.at, "key": newest.key} if newest else None
    said = {"holds": result.holds, "checked": result.checked, "head": result.head, "problem": result.problem}
    said |= {"unsigned": result.unsigned, "unsigned_since": result.unsigned_since, "compared": list(result.compared)}
    return {**said, "root": result.root, "checkpoint": checkpoint, "note": result.note}


def run_told(run: VerificationRun) -> dict[str, Any]:
    """How far the run has come, and what the last one found: null before the first has ended."""
    state = "under way" if run.is_wanted else "ended" if run.finished_at else "never asked for"
    way = {"asked_at": run.asked_at, "asked_by": run.asked_by, "walked": run.checked, "total": run.total}
    return {"state": state, **way, "finished_at": run.finished_at, **dict.fromkeys(FOUND), **run.result}
