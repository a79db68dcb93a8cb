"""Open, decide, void and re-check approval requests.

They are about a subject and a content hash; what a subject is they do not know.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.accounts.proof import proof_of, require_recent_authentication
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, IllegalTransition, Invalid
from mlorch_site.lib.hashing import content_hash
from mlorch_site.lib.swap import swap
from mlorch_site.live.outbox import publish
from registry import audit_subjects
from registry.actors import APPROVALS
from registry.approvals.authors import asked_rules, authorship_of
from registry.approvals.content_changes import content_changes, told
from registry.approvals.mentions import mentions_settle
from registry.approvals.rules import GROUP, evaluate
from registry.approvals.selectors import (
    approval_progress,
    approving_decisions,
    counting_decisions,
    own_counting_decision,
    roles_now,
    why_cannot_decide,
    why_voice_cannot_decide,
)
from registry.approvals.voices import Voice, delegated_voices, own_voice, why_voice_lost
from registry.lifecycle import APPROVAL_MOVES, ApprovalStatus, DecisionKind
from registry.models import ApprovalRequest, Decision, Policy

COMMENT_MAX_CHARS = 4000


def _publish(request: ApprovalRequest) -> None:
    data = {
        "request": str(request.pk),
        "subject_kind": request.subject_kind,
        "subject_id": request.subject_id,
        "status": request.status,
    }
    publish("approvals", "approval.changed", data)


def _move(request: ApprovalRequest, to: ApprovalStatus, reason: str) -> bool:
    """Move the request by compare-and-swap; return whether this call did it. Raises IllegalTransition."""
    if to not in APPROVAL_MOVES[ApprovalStatus(request.status)]:
        raise IllegalTransition("approval request", request.status, to)
    if swap(request, "status", status=to.value, status_reason=reason[:500], ended_at=clock.now()):
        return True
    request.refresh_from_db()
    return False


@transaction.atomic
def approval_open(
    *,
    actor: Actor,
    subject_kind: str,
    subject_id: str,
    title: str,
    url: str,
    content: dict[str, Any],
    policy: Policy,
    scopes: list[str],
    requester: User,
    excluded: list[int],
    authors: Collection[str] = (),
    risk_tier: str = "",
    answers: ApprovalRequest | None = None,
) -> ApprovalRequest:
    """Ask for the decisions that `policy` wants about a subject with this content, which is kept as it is now.

    Without rules it is approved at once. `authors` are the names by which MLflow says who made what it is about: whom
    they mean may not decide, and where they mean nobody the policy may ask for one more. `answers` is the earlier
    request in which changes were asked for.

    An open request of the same subject is voided first: its content is not asked about any more.
    """
    now, authorship = clock.now(), authorship_of(authors)
    _void_older(actor, subject_kind, subject_id)
    request = ApprovalRequest.objects.create(
        subject_kind=subject_kind,
        subject_id=subject_id,
        title=title[:300],
        url=url,
        content_hash=content_hash(content),
        content=content,
        risk_tier=risk_tier,
        answers=answers,
        policy=policy,
        rules=asked_rules(policy, authorship),
        scopes=scopes,
        excluded=sorted({*excluded, *_answerable(requester), *authorship.excluded}),
        authors=authorship.kept,
        requester=requester,
        created_at=now,
        expires_at=now + timedelta(days=policy.approval_days),
    )
    _record_opened(actor, request)
    if not policy.approval_rules:
        _move(request, ApprovalStatus.APPROVED, "The policy asks for no approval.")
    _publish(request)
    return request


def _answerable(requester: User) -> set[int]:
    """Who asks for it: the requester, and of a service account its owner."""
    return {requester.pk, *([requester.owner_id] if requester.owner_id else [])}


def _record_opened(actor: Actor, request: ApprovalRequest) -> None:
    data = {"content_hash": request.content_hash, "policy": str(request.policy), "rules": request.rules}
    data |= request.authors
    if request.answers is not None:
        data["answers"] = str(request.answers.pk)
    audit_record(actor, "approval.opened", audit_subjects.of_approval(request), data=data)


def _void_older(actor: Actor, subject_kind: str, subject_id: str) -> None:
    same = ApprovalRequest.objects.filter(subject_kind=subject_kind, subject_id=subject_id)
    for old in same.filter(status=ApprovalStatus.OPEN):
        approval_void(actor=actor, request=old, reason="Replaced by a newer request.")


@transaction.atomic
def approval_decide(
    *, actor: Actor, request: ApprovalRequest, kind: str, comment: str, on_behalf_of: str = ""
) -> Decision | None:
    """Note a person's decision; the last approval that the rules need approves the request, one rejection ends it.

    `on_behalf_of` names the person with whose delegated power it is made. None when the person's newest decision says
    exactly that already: one click that arrives ten times is one decision.

    Raises Invalid for an unknown kind or a missing comment, Forbidden for the requester and for people without a role
    that counts, ProofNeeded when the policy asks for a newer proof of who decides, Conflict when the request has ended
    or expired meanwhile.
    """
    request = approval_locked(request)
    if _is_said(actor, request, kind, comment, on_behalf_of):
        return None
    voice = _voice_for(actor, request, kind, comment, on_behalf_of)
    assert actor.user is not None
    decision = Decision.objects.create(
        request=request,
        person=actor.user,
        on_behalf_of=voice.on_behalf_of,
        delegation=voice.delegation,
        kind=kind,
        comment=comment.strip(),
        content_hash=request.content_hash,
        roles=roles_now(voice.person, request.scopes),
        at=clock.now(),
        proven_by="token" if actor.kind == "token" else actor.proven_by,
        proven_at=actor.authenticated_at,
    )
    mentions_settle(actor=actor, request=request)
    _record_decision(actor, request, decision)
    if kind == DecisionKind.REJECT:
        _move(request, ApprovalStatus.REJECTED, f"{decision.by}: {decision.comment}")
    elif kind == DecisionKind.APPROVE and approval_progress(request).met:
        _move(request, ApprovalStatus.APPROVED, "Every rule is met.")
        audit_record(
            APPROVALS,
            "approval.granted",
            audit_subjects.of_approval(request),
            data={"content_hash": request.content_hash},
        )
    _publish(request)
    return decision


def _voice_for(actor: Actor, request: ApprovalRequest, kind: str, comment: str, on_behalf_of: str) -> Voice:
    """The power that a decision of the kind is made with, when all of it may be. Raises as `approval_decide` does."""
    _check_kind(kind, comment)
    _check_open(request)
    if kind == DecisionKind.TAKE_BACK:
        return _voice_taken_back(actor, request)
    voice = _checked_voice(actor, request, on_behalf_of)
    require_recent_authentication(actor, request.policy.reauthenticate_minutes)
    return voice


def _record_decision(actor: Actor, request: ApprovalRequest, decision: Decision) -> None:
    data = {
        "kind": decision.kind,
        "roles": decision.roles,
        "content_hash": request.content_hash,
        "policy": str(request.policy),
        **proof_of(actor),
    }
    decider = actor
    if decision.delegation is not None and decision.on_behalf_of is not None:
        data |= {"on_behalf_of": decision.on_behalf_of.username, "delegation": str(decision.delegation.pk)}
        decider = actor.on_behalf(decision.on_behalf_of.username)
    audit_record(decider, "approval.decided", audit_subjects.of_approval(request), reason=decision.comment, data=data)


def approval_locked(request: ApprovalRequest) -> ApprovalRequest:
    """The row as it is now, locked until the end of the transaction."""
    return ApprovalRequest.objects.select_for_update(of=("self",)).select_related("policy").get(pk=request.pk)


def _is_said(actor: Actor, request: ApprovalRequest, kind: str, comment: str, on_behalf_of: str) -> bool:
    """Whether that is what the actor says already, and nobody has said otherwise for the same person since."""
    if actor.user is None:
        return False
    said = next((row for row in counting_decisions(request) if row.person_id == actor.user.pk), None)
    if said is None:
        return False
    for_whom = said.on_behalf_of.username if said.on_behalf_of else ""
    is_same_voice = kind == DecisionKind.TAKE_BACK or for_whom == on_behalf_of
    return (said.kind, said.comment) == (kind, comment.strip()) and is_same_voice


def _check_kind(kind: str, comment: str) -> None:
    if kind not in [known.value for known in DecisionKind]:
        known = ", ".join(one.value for one in DecisionKind)
        raise Invalid(f"A decision is one of: {known}.", details={"decision": "unknown"})
    if len(comment) > COMMENT_MAX_CHARS:
        raise Invalid(f"A comment has at most {COMMENT_MAX_CHARS} characters.", details={"comment": "too long"})
    if kind in (DecisionKind.REJECT, DecisionKind.REQUEST_CHANGES) and not comment.strip():
        raise Invalid("Say why: a rejection or a request for changes needs a comment.", details={"comment": "required"})


def _check_open(request: ApprovalRequest) -> None:
    if request.status != ApprovalStatus.OPEN:
        raise Conflict(f"The request is {request.status} already.")
    if request.expires_at <= clock.now():
        raise Conflict("The request has expired; the release has to be requested again.")


def _checked_voice(actor: Actor, request: ApprovalRequest, on_behalf_of: str) -> Voice:
    """The power that a decision is made with. Raises Forbidden when it does not reach."""
    if not on_behalf_of:
        if reason := why_cannot_decide(actor, request):
            raise Forbidden(reason)
        return own_voice(actor)
    voice = next((one for one in delegated_voices(actor, clock.now()) if one.person.username == on_behalf_of), None)
    if voice is None:
        raise Forbidden(f"{on_behalf_of[:150]} has not given you the power to decide, or it has ended.")
    if reason := why_voice_cannot_decide(actor, request, voice):
        raise Forbidden(reason)
    return voice


def _voice_taken_back(actor: Actor, request: ApprovalRequest) -> Voice:
    """The power of the decision that counts so far. Raises Conflict when there is none."""
    actor.require_write()
    said = own_counting_decision(actor, request)
    if actor.user is None or said is None:
        raise Conflict("There is no decision of yours to take back.")
    if said.on_behalf_of is None or said.person_id != actor.user.pk:
        return own_voice(actor)
    return Voice(said.on_behalf_of, actor_for_user(said.on_behalf_of), said.delegation)


@transaction.atomic
def approval_void(*, actor: Actor, request: ApprovalRequest, reason: str, changes: Collection[str] = ()) -> None:
    """Void a request: what was asked about has changed. An ended one is left alone unless it was to take effect.

    `changes` say what differs from what was asked about, field by field.
    """
    if request.status not in (ApprovalStatus.OPEN, ApprovalStatus.APPROVED, ApprovalStatus.BYPASSED):
        return
    if _move(request, ApprovalStatus.VOID, reason):
        if changes:
            ApprovalRequest.objects.filter(pk=request.pk).update(changes=list(changes))
        data = {"changes": list(changes)} if changes else None
        audit_record(actor, "approval.voided", audit_subjects.of_approval(request), reason=reason, data=data)
        _publish(request)


@transaction.atomic
def approval_withdraw(*, actor: Actor, request: ApprovalRequest, reason: str) -> None:
    """Withdraw an open request because its subject is not wanted any more. Harmless when it has ended."""
    if request.status == ApprovalStatus.OPEN and _move(request, ApprovalStatus.WITHDRAWN, reason):
        audit_record(actor, "approval.withdrawn", audit_subjects.of_approval(request), reason=reason)
        _publish(request)


def approvals_past(now: datetime) -> QuerySet[ApprovalRequest]:
    """The open requests past their time."""
    return ApprovalRequest.objects.filter(status=ApprovalStatus.OPEN, expires_at__lte=now)


def approvals_expire(*, now: datetime) -> int:
    """Expire open requests past their time; return how many."""
    count = 0
    for request in approvals_past(now):
        with transaction.atomic():
            if _move(request, ApprovalStatus.EXPIRED, "Nobody decided in time."):
                audit_record(APPROVALS, "approval.expired", audit_subjects.of_approval(request))
                _publish(request)
                count += 1
    return count


def why_changed(request: ApprovalRequest, content: dict[str, Any]) -> str:
    """What of `content` is not as it was asked about, in one sentence; empty when all is."""
    if request.content_hash == content_hash(content):
        return ""
    changes = content_changes(request.content, content) if request.content else []
    what = told(changes) if changes else "version, artifacts, plan, policy or serving config"
    return f"What was asked about has changed since: {what}."


def approval_recheck(request: ApprovalRequest, content: dict[str, Any], now: datetime) -> str:
    """Why an approval does not hold any more when it is to take effect, empty when it does.

    Looked at: its status and age, the content it was given for, whether those who approved are still active and in
    their roles, and whether what was delegated to them still is.
    """
    if request.status != ApprovalStatus.APPROVED:
        return f"The approval is {request.status}."
    if request.expires_at <= now:
        return "The approval has expired."
    if why := why_changed(request, content):
        return why
    lost = []
    approvals: dict[str, list[str]] = {}
    for decision in approving_decisions(request):
        holder = decision.on_behalf_of or decision.person
        still = set(decision.roles) & set(roles_now(holder, request.scopes))
        if why := why_voice_lost(decision, request, now):
            lost.append(why)
            continue
        approvals[decision.by] = sorted(still)
        if not holder.is_active:
            lost.append(f"{holder} approved and is not active any more.")
        elif still != set(decision.roles):
            lost.append(f"{holder} approved and {_what_was_lost(set(decision.roles) - still)} since.")
    progress = evaluate(request.rules, approvals)
    return "" if progress.met else " ".join(lost or [progress.missing])


def _what_was_lost(keys: set[str]) -> str:
    groups = [key.removeprefix(GROUP) for key in sorted(keys) if key.startswith(GROUP)]
    left = f"has left the group {', '.join(groups)}" if groups else ""
    return " and ".join(part for part in ("has lost the role" if len(groups) < len(keys) else "", left) if part)
