"""Somebody else says whether the release may go on: asked by a signed message, answered by a signed one."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mlorch_site.audit.services import Subject
from mlorch_site.lib import clock
from registry.actors import GATES
from registry.evidence.services.external_checks import external_call_open, external_call_send
from registry.gates.base import Found, GateInput, NotYet, erred, failed, passed, warned
from registry.gates.parameters import GateParameter
from registry.lifecycle import GateOutcome
from registry.models import ExternalCall, ExternalCheck

LABEL = "External check"
HELP = (
    "A program outside is asked about the release by a signed message, and answers with a signed one until the "
    "deadline. An administrator says whom to ask, under External checks."
)
PARAMETERS = {
    "check": GateParameter("text", "", "Name of the external check that is asked."),
    "deadline_s": GateParameter("whole", 3_600, "By when it has to have answered.", "s", 10, 604_800),
}
LOOKS_AT = ("digest", "evidence", "plan")
DEADLINE_S = 3_600
LEASE_S = 60
ANSWERED = {GateOutcome.PASS.value: passed, GateOutcome.WARN.value: warned, GateOutcome.FAIL.value: failed}


def looked_at(given: GateInput) -> Mapping[str, Any]:
    """Who is asked."""
    asked = _check(given)
    return {"asked": [str(asked.pk), asked.url] if asked else []}


def _check(given: GateInput) -> ExternalCheck | None:
    return ExternalCheck.objects.filter(name=given.parameters.get("check", ""), ended_at=None).first()


def check(given: GateInput) -> Found:
    asked = _check(given)
    if asked is None:
        name = given.parameters.get("check", "")
        words = f"There is no external check {name!r}" if name else "The policy names no external check"
        return erred(f"{words}, so nobody can be asked; an administrator adds one under External checks.")
    if not given.version.digest:
        return failed("The artifacts are not known, so nobody can be asked about them.")
    call = _call(given, asked)
    if call.answered_at is not None:
        return _answered(call)
    external_call_send(call=call)
    raise NotYet(_waiting(call))


def _call(given: GateInput, asked: ExternalCheck) -> ExternalCall:
    """The question of this run: one that is open goes on after a restart; an answer that came before the gate was
    asked anew is not taken again.
    """
    now = clock.now()
    rows = ExternalCall.objects.select_related("asked_of").filter(
        asked_of=asked,
        subject_kind=given.subject_kind,
        subject_id=given.subject_id,
        digest=given.version.digest,
        content_hash=given.content_hash,
    )
    last = rows.order_by("-created_at").first()
    if last is not None:
        if last.answered_at is None:
            counts = last.answer_by > now
        else:
            counts = given.asked_at is None or last.answered_at >= given.asked_at
        if counts:
            return last
    return external_call_open(
        actor=GATES,
        check=asked,
        subject=Subject(given.subject_kind, given.subject_id),
        about=_about(given),
        answer_by=_answer_by(given, now),
    )


def _answer_by(given: GateInput, now: datetime) -> datetime:
    return given.deadline_at or now + timedelta(seconds=given.parameters["deadline_s"])


def _about(given: GateInput) -> dict[str, Any]:
    version = given.version
    return {
        "gate": "external_check",
        "environment": given.environment.name,
        "model": version.model.name,
        "version": version.number,
        "digest": version.digest,
        "content_hash": given.content_hash,
        "serving": given.from_version.number if given.from_version else None,
    }


def _answered(call: ExternalCall) -> Found:
    evidence = {"check": call.asked_of.name, "answer": call.sentence, "url": call.evidence_url}
    ended = "" if call.sentence.endswith((".", "!", "?")) else "."
    return ANSWERED[call.outcome](f"{call.asked_of.name} says: {call.sentence}{ended}", **evidence)


def _waiting(call: ExternalCall) -> str:
    by = f"{call.answer_by:%Y-%m-%d %H:%M} UTC"
    if call.sent_at is None:
        why = f" {call.last_error}" if call.last_error else ""
        return f"{call.asked_of.name} could not be asked yet; it has to answer by {by}.{why}"
    return f"{call.asked_of.name} was asked and has not answered; it has to by {by}."
