"""The gates of a subject, run by tasks: one row each from the moment it is asked for.

Whoever takes a pending row runs it; a row whose process died is taken up again when its lease is over. An answer that
comes after that, or after somebody asked anew, changes nothing.
"""

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.swap import swap
from mlorch_site.live.outbox import publish
from registry.gates import GATES, Found, GateInput, NotYet, look
from registry.gates.base import DEADLINE_S, LEASE_SLACK_S, Stopped, erred, skipped
from registry.lifecycle import GateOutcome, GateState
from registry.models import GateResult

STEP_MAX_CHARS = 200
REASON_MAX_CHARS = 300
INTERRUPTED_MAX = 3  # so many processes may die over one gate before it is an error
TOLD_EVERY_S = 1.0  # progress is told to people no more often
FENCE = ("state", "epoch", "is_current")


def call_nobody() -> None:
    """For who runs gates alone."""


def current_results(subject: Subject) -> QuerySet[GateResult]:
    """The newest row of each gate about a subject."""
    return GateResult.objects.filter(subject_kind=subject.kind, subject_id=subject.id, is_current=True)


@transaction.atomic
def gates_ask(*, subject: Subject, gates: Iterable[str], content_hash: str) -> None:
    """Note that these gates are to answer about a subject. Those that were asked already stay as they are."""
    asked = set(current_results(subject).values_list("gate", flat=True))
    wanted = [name for name in dict.fromkeys(gates) if name not in asked]
    if not wanted:
        return
    now = clock.now()
    rows = [_pending(subject, name, content_hash, now) for name in wanted]
    GateResult.objects.bulk_create(rows, ignore_conflicts=True)  # whoever asks at the same moment asks the same
    _announce(subject.kind, subject.id)


def _pending(subject: Subject, gate: str, content_hash: str, now: datetime) -> GateResult:
    return GateResult(
        subject_kind=subject.kind,
        subject_id=subject.id,
        gate=gate[:40],
        state=GateState.PENDING,
        content_hash=content_hash,
        at=now,
    )


@transaction.atomic
def gates_ask_again(
    *, actor: Actor, subject: Subject, gates: Collection[str], content_hash: str, reason: str
) -> list[str]:
    """Let gates answer once more; what they found before stays as history. Return those that this call asked.

    A gate that has not ended yet is left alone: its answer is still to come.
    """
    now, asked = clock.now(), []
    for row in current_results(subject).filter(gate__in=gates, state=GateState.ENDED):
        if swap(row, "is_current", "epoch", is_current=False):
            asked.append(row.gate)
            again = _pending(subject, row.gate, content_hash, now)
            again.asked_by, again.asked_reason = actor.name[:150], reason[:REASON_MAX_CHARS]
            again.save(force_insert=True)
    if asked:
        data = {"gates": sorted(asked), "content_hash": content_hash}
        audit_record(actor, "gates.asked_again", subject, reason=reason, data=data)
        _announce(subject.kind, subject.id)
    return asked


@transaction.atomic
def gates_end(*, subject: Subject, reason: str) -> None:
    """Nobody waits for the gates of a subject any more: those that have not ended are skipped, with the reason."""
    now = clock.now()
    for row in current_results(subject).exclude(state=GateState.ENDED):
        _finish(row, skipped(reason), now, {})


def gates_due(subject: Subject, now: datetime) -> QuerySet[GateResult]:
    """The rows that a process may take: nobody runs them, or who did let the lease run out."""
    left = Q(state=GateState.PENDING) | Q(state=GateState.RUNNING, lease_until__lte=now)
    return current_results(subject).filter(left).order_by("id")


@transaction.atomic
def gates_call(*, subject: Subject, now: datetime, again_s: float) -> bool:
    """Whether a process has to be called for the gates of a subject: some wait, and none was called lately.

    Every `again_s` one is called again: a message may be lost, and a process may die.
    """
    is_wanted = False
    for row in gates_due(subject, now).filter(Q(lease_until=None) | Q(lease_until__lte=now)):
        died = {}
        if row.state == GateState.RUNNING:
            died = {"started_at": None, "deadline_at": None, "interrupted": row.interrupted + 1}
        later = now + timedelta(seconds=again_s)
        is_wanted |= swap(row, *FENCE, "lease_until", state=GateState.PENDING.value, lease_until=later, **died)
    return is_wanted


def gates_run(*, subject: Subject, given: GateInput, call: Callable[[], None] = call_nobody) -> None:
    """Run every gate of a subject that nobody runs, each once by this call; twice at once, each runs once.

    The quick ones come first. Before one that may take long, `call` asks for one more process when others have not
    begun: so as many run at the same time as processes are free.
    """
    tried: set[int] = set()
    while due := [row for row in gates_due(subject, clock.now()) if row.pk not in tried]:
        row = min(due, key=lambda each: (_takes_long(each.gate), each.pk))
        tried.add(row.pk)
        if _takes_long(row.gate) and any(each.epoch == 0 for each in due if each is not row):
            call()
        gate_run(row=row, given=given)


def _takes_long(gate: str) -> bool:
    return gate in GATES and GATES[gate].takes_long


def gate_run(*, row: GateResult, given: GateInput) -> None:
    """Run one gate and keep its answer; nothing when somebody else has taken it meanwhile."""
    if not _taken(row, given, clock.now()):
        return
    began = time.perf_counter()
    progress = _Progress(row, began)
    lent = replace(given, progress=progress.say, asked_at=row.started_at, deadline_at=row.deadline_at)
    gate = GATES.get(row.gate)
    looked_at: dict[str, str] = {}
    try:
        if gate:  # before the look: what changes meanwhile makes the answer stale
            looked_at = gate.fingerprints(lent)
        found = look(row.gate, lent)
    except NotYet as waiting:
        _wait(row, str(waiting), given)
        return
    except Stopped:
        if not progress.is_late:
            return
        found = _late(row, given)
    if row.deadline_at is not None and clock.now() > row.deadline_at:
        found = _late(row, given)
    with transaction.atomic():
        _finish(row, found, clock.now(), looked_at, int((time.perf_counter() - began) * 1000))


class _Progress:
    """What a gate says while it works: renews the lease, tells people, and stops a gate that nobody waits for."""

    def __init__(self, row: GateResult, began: float) -> None:
        self.row, self.told_at, self.is_late = row, began, False

    def say(self, sentence: str) -> None:
        """Note the sentence. Raises Stopped when the row was taken over, asked anew or ended, and at the deadline."""
        now = clock.now()
        if self.row.deadline_at is not None and now > self.row.deadline_at:
            self.is_late = True
            raise Stopped("the deadline has passed")
        lease_s = GATES[self.row.gate].lease_s
        step = sentence[:STEP_MAX_CHARS]
        is_told = step != self.row.step and time.perf_counter() - self.told_at >= TOLD_EVERY_S
        with transaction.atomic():
            if not swap(self.row, *FENCE, lease_until=now + timedelta(seconds=lease_s), step=step):
                raise Stopped("nobody waits for the answer")
            if is_told:
                self.told_at = time.perf_counter()
                _announce(self.row.subject_kind, self.row.subject_id)


def _seconds(gate: str, given: GateInput) -> float:
    return GATES[gate].seconds(given.policy) if gate in GATES else float(DEADLINE_S)


@transaction.atomic
def _taken(row: GateResult, given: GateInput, now: datetime) -> bool:
    """Whether this process has the row now. One over which too many processes died ends as an error."""
    is_interrupted = row.state == GateState.RUNNING
    interrupted = row.interrupted + is_interrupted
    if interrupted >= INTERRUPTED_MAX:
        words = f"The process that ran this gate ended {interrupted} times before it had an answer."
        _finish(row, erred(words), now, {}, interrupted=interrupted)
        return False
    # Who died over it had its time; one that waits for something keeps the deadline that it began with.
    begins = is_interrupted or row.deadline_at is None
    deadline = now + timedelta(seconds=_seconds(row.gate, given)) if begins else row.deadline_at
    started = now if begins else row.started_at
    lease_s = GATES[row.gate].lease_s if row.gate in GATES else DEADLINE_S + LEASE_SLACK_S
    is_ours = swap(
        row,
        *FENCE,
        "lease_until",
        state=GateState.RUNNING.value,
        epoch=row.epoch + 1,
        interrupted=interrupted,
        lease_until=now + timedelta(seconds=lease_s),
        started_at=started,
        deadline_at=deadline,
    )
    if is_ours:
        _announce(row.subject_kind, row.subject_id)
    return is_ours


def _late(row: GateResult, given: GateInput) -> Found:
    doing = f" It was at: {row.step}" if row.step else ""
    return erred(f"The gate did not end within {_seconds(row.gate, given):g} s.{doing}")


@transaction.atomic
def _wait(row: GateResult, why: str, given: GateInput) -> None:
    """Give a row back that waits for something; past its deadline it is an error."""
    now = clock.now()
    if row.deadline_at is not None and now > row.deadline_at:
        late = _late(row, given)
        _finish(row, replace(late, sentence=f"{late.sentence} {why}".strip()), now, {})
        return
    before = row.step
    given_back = swap(row, *FENCE, state=GateState.PENDING.value, lease_until=None, step=why[:STEP_MAX_CHARS])
    if given_back and before != row.step:
        _announce(row.subject_kind, row.subject_id)


def _finish(
    row: GateResult,
    found: Found,
    now: datetime,
    looked_at: dict[str, str],
    duration_ms: int = 0,
    *,
    interrupted: int | None = None,
) -> bool:
    """Keep what a gate found, unless the row is somebody else's meanwhile."""
    is_kept = swap(
        row,
        *FENCE,
        state=GateState.ENDED.value,
        outcome=found.outcome.value,
        sentence=found.sentence,
        evidence=found.evidence,
        finding=found.fingerprint(row.gate),
        looked_at=looked_at,
        lease_until=None,
        at=now,
        duration_ms=duration_ms,
        interrupted=row.interrupted if interrupted is None else interrupted,
    )
    if is_kept:
        _announce(row.subject_kind, row.subject_id)
    return is_kept


def gates_note(*, actor: Actor, subject: Subject, content_hash: str, results: Collection[GateResult]) -> None:
    """Record in the audit log what the gates found. Belongs into the transaction that acts on it."""
    outcomes = {row.gate: row.outcome for row in results}
    findings = {row.gate: row.finding for row in results if row.outcome != GateOutcome.PASS}
    data = {"content_hash": content_hash, "outcomes": outcomes, "findings": findings}
    audit_record(actor, "gates.run", subject, data=data)


def stale_inputs(row: GateResult, given: GateInput) -> list[str]:
    """What of that which an ended gate looked at has changed since; empty when its answer still holds."""
    gate = GATES.get(row.gate)
    if not row.is_ended or not row.looked_at or gate is None:
        return []
    now = gate.fingerprints(given)
    return sorted(name for name in row.looked_at.keys() | now.keys() if row.looked_at.get(name) != now.get(name))


def _announce(kind: str, subject_id: str) -> None:
    data = {kind: subject_id}
    publish(f"{kind}.{subject_id}", "gates.changed", data)
    publish(f"{kind}s", "gates.changed", data)
