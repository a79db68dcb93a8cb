"""Whom to ask about releases, what was asked, and what was answered."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils.crypto import salted_hmac

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock, outgoing
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from mlorch_site.lib.hashing import canonical_json
from mlorch_site.lib.readable import is_text
from mlorch_site.lib.signatures import shown_secret, signed_headers
from mlorch_site.lib.swap import swap
from mlorch_site.live.outbox import publish
from registry.evidence.services.signing_keys import required_reason
from registry.lifecycle import GateOutcome
from registry.models import ExternalCall, ExternalCheck

log = structlog.get_logger(__name__)

SALT = "registry.external-check"
NAME_MAX_CHARS, URL_MAX_CHARS = 60, 300
RETRY_FIRST_S, RETRY_MAX_S = 5, 300
SEND_LEASE_S = 30  # longer than a call may take; a process that died over it is followed by the next one
SENTENCE_MAX_CHARS, ERROR_MAX_CHARS = 400, 300
ANSWERS = {GateOutcome.PASS.value, GateOutcome.WARN.value, GateOutcome.FAIL.value}
KIND = "gate.external_check"


def secret_of(check: ExternalCheck) -> bytes:
    """What both sides sign with. It is made anew each time it is needed, and stored nowhere."""
    return salted_hmac(SALT, str(check.pk), algorithm="sha256").digest()


@transaction.atomic
def external_check_add(*, actor: Actor, name: str, url: str, reason: str) -> tuple[ExternalCheck, str]:
    """Let somebody be asked about releases. Returns the check and the secret that both sides sign with.

    Raises Invalid for a name or an address that cannot be, Conflict for a name that is taken.
    """
    actor.require(Action.POLICY_EDIT)
    if actor.user is None:
        raise Forbidden("Only a person can add a check.")
    name, url = name.strip(), url.strip()
    is_slug = name.replace("-", "").replace("_", "").isalnum() and name.isascii()
    if not is_slug or len(name) > NAME_MAX_CHARS:
        sentence = f"A name has 1 to {NAME_MAX_CHARS} letters, digits, dashes and underscores."
        raise Invalid(sentence, details={"name": sentence})
    if len(url) > URL_MAX_CHARS or not is_text(url):
        raise Invalid("The address is too long.", details={"url": "The address is too long."})
    try:
        outgoing.check_url(url)
    except Unavailable as error:
        raise Invalid(error.message, details={"url": error.message}) from error
    try:
        with transaction.atomic():
            made = ExternalCheck.objects.create(
                name=name, url=url, reason=required_reason(reason), added_by=actor.user, added_at=clock.now()
            )
    except IntegrityError as error:
        sentence = "A check with this name is there already; end it first."
        raise Conflict(sentence, details={"name": sentence}) from error
    audit_record(actor, "external_check.added", _of_check(made), reason=made.reason, data={"url": made.url})
    publish("registry", "external_checks.changed", {"check": made.name})
    return made, shown_secret(secret_of(made))


@transaction.atomic
def external_check_end(*, actor: Actor, check: ExternalCheck, reason: str) -> ExternalCheck:
    """Ask a check no more, and take no answer of it any more. Raises Conflict when it ended before."""
    actor.require(Action.POLICY_EDIT)
    reason = required_reason(reason, "ended_reason")
    ended = {"ended_at": clock.now(), "ended_by": actor.name[:150], "ended_reason": reason}
    check.ended_at = None
    if not swap(check, "ended_at", **ended):
        raise Conflict("The check was ended already.")
    audit_record(actor, "external_check.ended", _of_check(check), reason=reason)
    publish("registry", "external_checks.changed", {"check": check.name})
    return check


@transaction.atomic
def external_call_open(
    *, actor: Actor, check: ExternalCheck, subject: Subject, about: dict[str, Any], answer_by: datetime
) -> ExternalCall:
    """Note what is to be asked of a check; `about` names digest and content hash, and what else it should know."""
    now, number = clock.now(), uuid.uuid4()
    body = {
        "type": KIND,
        "timestamp": now.isoformat(),
        "data": {
            **about,
            "call": str(number),
            "subject": {"kind": subject.kind, "id": subject.id},
            "answer_by": answer_by.isoformat(),
            "answer_url": settings.WEB_URL.rstrip("/") + reverse("external-answer", args=[number]),
        },
    }
    call = ExternalCall.objects.create(
        id=number,
        asked_of=check,
        subject_kind=subject.kind,
        subject_id=subject.id,
        digest=about["digest"],
        content_hash=about["content_hash"],
        body=body,
        created_at=now,
        answer_by=answer_by,
        next_attempt_at=now,
    )
    data = {"check": check.name, "call": str(call.pk), "content_hash": call.content_hash}
    audit_record(actor, "external_check.asked", subject, data=data)
    return call


def external_call_send(*, call: ExternalCall) -> None:
    """Send the question when it is due and not sent yet. Twice at once is sent once; who died over it is followed
    later, so that the question may come twice, with the same id.
    """
    now = clock.now()
    if call.sent_at is not None or call.next_attempt_at > now:
        return
    later = now + timedelta(seconds=SEND_LEASE_S)
    if not swap(call, "attempts", "sent_at", attempts=call.attempts + 1, next_attempt_at=later):
        return
    body = canonical_json(call.body)
    headers = signed_headers(secret_of(call.asked_of), str(call.pk), body, now)
    try:
        status = outgoing.post(call.asked_of.url, body, "application/json", headers)
        why = "" if 200 <= status < 300 else f"The answer was {status}."
    except Unavailable as error:
        why = error.message
    if not why:
        swap(call, "sent_at", sent_at=clock.now(), last_error="")
        return
    wait_s = min(RETRY_MAX_S, RETRY_FIRST_S * 2 ** min(call.attempts - 1, 10))
    swap(call, "sent_at", last_error=why[:ERROR_MAX_CHARS], next_attempt_at=now + timedelta(seconds=wait_s))
    log.info("external_check.not_sent", check=call.asked_of.name, attempts=call.attempts, why=why)


def external_call_of(pk: uuid.UUID) -> ExternalCall:
    """The question with this id. Raises NotFound."""
    call = ExternalCall.objects.select_related("asked_of").filter(pk=pk).first()
    if call is None:
        raise NotFound("There is no such question.")
    return call


@transaction.atomic
def external_answer_take(*, call: ExternalCall, answer: dict[str, Any], now: datetime) -> ExternalCall:
    """Take the answer of a check whose signature was verified. Each question has one answer.

    Raises Conflict for a second answer, a late one, one of an ended check, and one about other files or another
    content; Invalid for what is no answer.
    """
    outcome, sentence = answer.get("outcome"), answer.get("sentence")
    evidence_url = answer.get("evidence_url", "")
    if not isinstance(outcome, str) or outcome not in ANSWERS:
        raise Invalid("The outcome is pass, warn or fail.", details={"outcome": "pass, warn or fail"})
    if not isinstance(sentence, str) or not sentence.strip() or len(sentence) > SENTENCE_MAX_CHARS:
        why = f"A sentence of 1 to {SENTENCE_MAX_CHARS} characters says why."
        raise Invalid(why, details={"sentence": why})
    if not isinstance(evidence_url, str) or len(evidence_url) > URL_MAX_CHARS or not _is_web(evidence_url):
        why = f"The evidence is a web address of at most {URL_MAX_CHARS} characters."
        raise Invalid(why, details={"evidence_url": why})
    for name, wanted in (("call", str(call.pk)), ("digest", call.digest), ("content_hash", call.content_hash)):
        if answer.get(name) != wanted:
            raise Conflict(f"The answer is about another {name.replace('_', ' ')} than the question.", code="other")
    if call.asked_of.ended_at is not None:
        raise Conflict("The check was ended; its answers do not count any more.", code="ended")
    if now > call.answer_by:
        raise Conflict(f"The answer comes too late: it was due by {call.answer_by:%Y-%m-%d %H:%M:%S} UTC.", code="late")
    kept = {
        "answered_at": now,
        "outcome": outcome,
        "sentence": sentence.strip(),
        "evidence_url": evidence_url,
    }
    call.answered_at = None
    if not swap(call, "answered_at", **kept):
        raise Conflict("The question was answered already.", code="answered")
    subject = Subject(call.subject_kind, call.subject_id)
    data = {"call": str(call.pk), "outcome": call.outcome, "sentence": call.sentence, "evidence_url": evidence_url}
    actor = Actor.controller(f"external check {call.asked_of.name}")
    audit_record(actor, "external_check.answered", subject, data=data)
    publish("registry", "external_check.answered", {call.subject_kind: call.subject_id})
    return call


def _is_web(text: str) -> bool:
    return not text or (text.startswith(("https://", "http://")) and text.isprintable() and " " not in text)


def _of_check(check: ExternalCheck) -> Subject:
    return Subject("external_check", str(check.pk), check.name)
