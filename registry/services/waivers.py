"""Letting one finding of a gate pass, and taking that back."""

from datetime import timedelta

from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.accounts.proof import proof_of, require_recent_authentication
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from mlorch_site.lib.swap import swap
from mlorch_site.live.outbox import publish
from registry.models import GateResult, Waiver
from registry.waivers import WaivedCase, covering, why_cannot_waive, why_not_waivable

WAIVER_REASON_MAX_CHARS = 1000


@transaction.atomic
def waiver_give(
    *, actor: Actor, subject: Subject, case: WaivedCase, row: GateResult, finding: str, reason: str, days: int
) -> Waiver:
    """Let what a gate found pass, for so many days. `finding` is the fingerprint that the person read.

    Giving it twice gives the first one. Raises Forbidden for whoever may not, Invalid for a missing reason or too many
    days, Conflict when the gate has found something else meanwhile or its finding cannot be waived.
    """
    row = GateResult.objects.select_for_update().get(pk=row.pk)
    if why := why_cannot_waive(actor, case):
        raise Forbidden(why)
    require_recent_authentication(actor, case.policy.reauthenticate_minutes)
    if why := why_not_waivable(row):
        raise Conflict(why, code="not_waivable")
    if finding != row.finding:
        raise Conflict("The gate has found something else meanwhile; read it again.", code="other_finding")
    problems = {**_reason_problem(reason), **_days_problem(days, case)}
    if problems:
        raise Invalid(" ".join(problems.values()), details=problems)
    now = clock.now()
    if known := covering(case, [row], now).get(row.gate):
        if actor.user is not None and known.given_by_id == actor.user.pk:
            return known
        raise Conflict(f"{known.given_by.username} has waived it already, until {known.expires_at:%Y-%m-%d %H:%M} UTC.")
    waiver = _write(actor.user, subject, case, row, reason.strip(), days)
    data = {
        "gate": row.gate,
        "finding": row.finding,
        "sentence": row.sentence,
        "digest": case.digest,
        "place": case.place,
        "role": waiver.role,
        "expires_at": waiver.expires_at.isoformat(),
        "policy": str(case.policy),
        **proof_of(actor),
    }
    audit_record(actor, "gate.waived", subject, reason=waiver.reason, data={"waiver": str(waiver.pk), **data})
    _announce(subject)
    return waiver


def _write(person: User | None, subject: Subject, case: WaivedCase, row: GateResult, reason: str, days: int) -> Waiver:
    assert person is not None  # `why_cannot_waive` has looked
    now = clock.now()
    return Waiver.objects.create(
        gate=row.gate,
        digest=case.digest,
        place=case.place,
        finding=row.finding,
        outcome=row.outcome,
        sentence=row.sentence,
        subject_kind=subject.kind,
        subject_id=subject.id,
        scopes=list(case.scopes),
        reason=reason,
        given_by=person,
        role=case.policy.waiver_role,
        given_at=now,
        expires_at=now + timedelta(days=days),
    )


def _reason_problem(reason: str) -> dict[str, str]:
    if not reason.strip():
        return {"reason": "Say why this may pass."}
    if len(reason) > WAIVER_REASON_MAX_CHARS:
        return {"reason": f"A reason has at most {WAIVER_REASON_MAX_CHARS} characters."}
    return {}


def _days_problem(days: int, case: WaivedCase) -> dict[str, str]:
    most = case.policy.waiver_days_max
    return {} if type(days) is int and 1 <= days <= most else {"days": f"A waiver lasts from 1 to {most} days."}


@transaction.atomic
def waiver_withdraw(*, actor: Actor, subject: Subject, case: WaivedCase, waiver: Waiver, reason: str) -> Waiver:
    """Take a waiver back, whoever gave it: by the giver, or by anybody who could have given it.

    Raises Forbidden, Invalid without a reason, Conflict when it does not hold any more.
    """
    is_own = actor.user is not None and actor.user.pk == waiver.given_by_id and not actor.only_reads
    if not is_own and (why := why_cannot_waive(actor, case)):
        raise Forbidden(why)
    if problems := _reason_problem(reason):
        raise Invalid("Say why it is taken back.", details=problems)
    now = clock.now()
    if not waiver.is_in_time(now):
        raise Conflict("This waiver has ended already.")
    ended = {"withdrawn_at": now, "withdrawn_by": actor.name[:150], "withdrawn_reason": reason.strip()}
    if not swap(waiver, "withdrawn_at", **ended):
        raise Conflict("Somebody else has withdrawn this waiver just now.")
    data = {"waiver": str(waiver.pk), "gate": waiver.gate, "finding": waiver.finding, "digest": waiver.digest}
    audit_record(actor, "gate.waiver_withdrawn", subject, reason=reason.strip(), data=data)
    _announce(subject)
    return waiver


def _announce(subject: Subject) -> None:
    data = {subject.kind: subject.id}
    publish(f"{subject.kind}.{subject.id}", "gates.changed", data)
    publish(f"{subject.kind}s", "gates.changed", data)
