"""Emergencies: what was asked about begins without the approvals that the policy wants.

Rules:

* the policy that the request froze allows emergencies;
* whoever uses one holds `release.emergency`, and gives a reason and a ticket;
* only people are skipped: what the gates refused never comes this far, and nothing else is let off;
* an emergency is no approval: it has a status of its own, a record of its own, and a review that somebody else closes.
"""

from datetime import datetime
from typing import Any

from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.proof import proof_of, require_recent_authentication
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from mlorch_site.lib.swap import swap
from mlorch_site.live.outbox import publish
from registry import audit_subjects
from registry.approvals.holders import holders_of
from registry.approvals.rules import keys_of
from registry.approvals.selectors import approval_progress
from registry.approvals.services import why_changed
from registry.lifecycle import APPROVAL_MOVES, ApprovalStatus
from registry.models import ApprovalRequest, Emergency

REASON_MAX_CHARS = 2000
TICKET_MAX_CHARS = 200


def why_no_emergency(actor: Actor, request: ApprovalRequest) -> str:
    """Why this actor cannot use an emergency for an open request, empty when it can."""
    if request.status != ApprovalStatus.OPEN:
        return f"The request is {request.status}; there are no approvals to do without."
    if request.expires_at <= clock.now():
        return "The request has expired; the release has to be requested again."
    if not request.policy.emergency_allowed:
        return f"{request.policy} does not allow emergencies."
    if actor.user is None:
        return "Only a person can use an emergency."
    return actor.why_not(Action.RELEASE_EMERGENCY, request.scopes)


def skipped_of(request: ApprovalRequest) -> dict[str, list[str]]:
    """What an emergency would skip: the rules that are not met, and everybody who could decide."""
    progress = approval_progress(request)
    rules = [f"{rule.label}: {', '.join(rule.given_by) or 'nobody'} so far" for rule in progress.rules if not rule.met]
    holders = holders_of(keys_of(request.rules), request.scopes, request.excluded)
    return {"rules": rules, "people": sorted({name for names in holders.values() for name in names})}


@transaction.atomic
def emergency_use(
    *, actor: Actor, request: ApprovalRequest, expects: str, reason: str, ticket: str, evidence: list[dict[str, Any]]
) -> Emergency:
    """Let what a request asks about begin without its approvals. Belongs into the transaction of what begins.

    `expects` is the content hash that the person saw. Raises Invalid without reason or ticket, Forbidden without the
    permission or where the policy allows none, Conflict when the request has ended or is about something else.
    """
    request = (
        ApprovalRequest.objects.select_for_update(of=("self",)).select_related("policy__environment").get(pk=request.pk)
    )
    if request.status != ApprovalStatus.OPEN:
        raise Conflict(f"The request is {request.status} already.")
    if why := why_no_emergency(actor, request):
        raise Forbidden(why)
    require_recent_authentication(actor, request.policy.reauthenticate_minutes)
    _check(reason, ticket)
    if expects != request.content_hash:
        raise Conflict("What would begin is not what you saw. Look again.", code="changed_meanwhile")
    skipped, now = skipped_of(request), clock.now()
    sentence = f"{actor.name} used an emergency: {reason.strip()}"
    if ApprovalStatus.BYPASSED not in APPROVAL_MOVES[ApprovalStatus.OPEN] or not swap(
        request, "status", status=ApprovalStatus.BYPASSED.value, status_reason=sentence[:500], ended_at=now
    ):
        raise Conflict("The request changed at the same moment; look again.")
    assert actor.user is not None
    used = Emergency.objects.create(
        request=request,
        used_by=actor.user,
        used_at=now,
        reason=reason.strip(),
        ticket=ticket.strip(),
        content_hash=request.content_hash,
        skipped=skipped,
        evidence=evidence,
    )
    data = {
        "content_hash": request.content_hash,
        "ticket": used.ticket,
        "skipped": skipped,
        "policy": str(request.policy),
        **proof_of(actor),
    }
    audit_record(actor, "approval.bypassed", audit_subjects.of_approval(request), reason=used.reason, data=data)
    emergency_publish(used)
    return used


def emergency_publish(used: Emergency) -> None:
    """Announce that an emergency was used, or its review closed."""
    request = used.request
    data = {"request": str(request.pk), "subject_kind": request.subject_kind, "subject_id": request.subject_id}
    publish("approvals", "approval.changed", {**data, "status": request.status})
    publish("approvals", "emergency.changed", {"emergency": str(used.pk), "is_open": used.is_open})


def _check(reason: str, ticket: str) -> None:
    problems = {}
    if not 0 < len(reason.strip()) <= REASON_MAX_CHARS:
        problems["reason"] = f"Say why it cannot wait, in 1 to {REASON_MAX_CHARS} characters."
    if not 0 < len(ticket.strip()) <= TICKET_MAX_CHARS:
        problems["ticket"] = f"Name the ticket, in 1 to {TICKET_MAX_CHARS} characters."
    if problems:
        raise Invalid("An emergency needs a reason and a ticket.", details=problems)


def emergency_recheck(request: ApprovalRequest, content: dict[str, Any], now: datetime) -> str:
    """Why an emergency does not hold any more when it is to take effect, empty when it does.

    Looked at: that it is one and was never taken for an approval, its age, the content it was used for, and whether
    whoever used it is still active and still may.
    """
    used = Emergency.objects.filter(request=request).select_related("used_by").first()
    if request.status != ApprovalStatus.BYPASSED or used is None:
        return f"The request is {request.status}, and no emergency was used for it."
    if request.expires_at <= now:
        return "The request has expired."
    if used.content_hash != request.content_hash:
        return "The emergency was used for other content than what was asked about."
    if why := why_changed(request, content):
        return why
    if not actor_for_user(used.used_by).may(Action.RELEASE_EMERGENCY, request.scopes):
        return f"{used.used_by.username} used an emergency and may not any more."
    return ""
