"""Open, decide, void and re-check approval requests.

They are about a subject and a content hash; what a subject is they do not know.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.accounts.proof import proof_of, require_recent_authentication
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, IllegalTransition, Invalid
from mlorch_site.lib.swap import swap
from mlorch_site.live.outbox import publish
from registry import audit_subjects
from registry.actors import APPROVALS
from registry.approvals.rules import evaluate
from registry.approvals.selectors import approval_progress, approving_decisions, roles_now, why_cannot_decide
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
    content_hash: str,
    policy: Policy,
    scopes: list[str],
    requester: User,
    excluded: list[int],
) -> ApprovalRequest:
    """Ask for the decisions that `policy` wants about a subject with this content.

    Without rules it is approved at once.

    An open request of the same subject is voided first: its content is not asked about any more.
    """
    now = clock.now()
    for old in ApprovalRequest.objects.filter(
        subject_kind=subject_kind, subject_id=subject_id, status=ApprovalStatus.OPEN
    ):
        approval_void(actor=actor, request=old, reason="Replaced by a newer request.")
    request = ApprovalRequest.objects.create(
        subject_kind=subject_kind,
        subject_id=subject_id,
        title=title[:300],
        url=url,
        content_hash=content_hash,
        policy=policy,
        rules=policy.approval_rules,
        scopes=scopes,
        excluded=sorted({requester.pk, *excluded, *([requester.owner_id] if requester.owner_id else [])}),
        requester=requester,
        created_at=now,
        expires_at=now + timedelta(days=policy.approval_days),
    )
    data = {"content_hash": content_hash, "policy": str(policy), "rules": policy.approval_rules}
    audit_record(actor, "approval.opened", audit_subjects.of_approval(request), data=data)
    if not policy.approval_rules:
        _move(request, ApprovalStatus.APPROVED, "The policy asks for no approval.")
    _publish(request)
    return request


@transaction.atomic
def approval_decide(*, actor: Actor, request: ApprovalRequest, kind: str, comment: str) -> Decision | None:
    """Note a person's decision; the last approval that the rules need approves the request, one rejection ends it.

    None when the person's newest decision says exactly that already: one click that arrives ten times is one decision.

    Raises Invalid for an unknown kind or a missing comment, Forbidden for the requester and for people without a role
    that counts, ProofNeeded when the policy asks for a newer proof of who decides, Conflict when the request has ended
    or expired meanwhile.
    """
    request = ApprovalRequest.objects.select_for_update().select_related("policy").get(pk=request.pk)
    if _is_said(actor, request, kind, comment):
        return None
    _check_decision(actor, request, kind, comment)
    assert actor.user is not None
    decision = Decision.objects.create(
        request=request,
        person=actor.user,
        kind=kind,
        comment=comment.strip(),
        content_hash=request.content_hash,
        roles=sorted(role.value for role in actor.roles_in(request.scopes)),
        at=clock.now(),
        proven_by="token" if actor.kind == "token" else actor.proven_by,
        proven_at=actor.authenticated_at,
    )
    data = {"kind": kind, "roles": decision.roles, "content_hash": request.content_hash, "policy": str(request.policy)}
    data |= proof_of(actor)
    audit_record(actor, "approval.decided", audit_subjects.of_approval(request), reason=decision.comment, data=data)
    if kind == DecisionKind.REJECT:
        _move(request, ApprovalStatus.REJECTED, f"{actor.name}: {decision.comment}")
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


def _is_said(actor: Actor, request: ApprovalRequest, kind: str, comment: str) -> bool:
    newest = request.decisions.filter(person=actor.user).order_by("-pk").first() if actor.user else None
    return newest is not None and (newest.kind, newest.comment) == (kind, comment.strip())


def _check_decision(actor: Actor, request: ApprovalRequest, kind: str, comment: str) -> None:
    if kind not in [known.value for known in DecisionKind]:
        raise Invalid("A decision is approve, reject or request_changes.", details={"decision": "unknown"})
    if len(comment) > COMMENT_MAX_CHARS:
        raise Invalid(f"A comment has at most {COMMENT_MAX_CHARS} characters.", details={"comment": "too long"})
    if kind != DecisionKind.APPROVE and not comment.strip():
        raise Invalid("Say why: a rejection or a request for changes needs a comment.", details={"comment": "required"})
    if request.status != ApprovalStatus.OPEN:
        raise Conflict(f"The request is {request.status} already.")
    if request.expires_at <= clock.now():
        raise Conflict("The request has expired; the release has to be requested again.")
    if reason := why_cannot_decide(actor, request):
        raise Forbidden(reason)
    require_recent_authentication(actor, request.policy.reauthenticate_minutes)


@transaction.atomic
def approval_void(*, actor: Actor, request: ApprovalRequest, reason: str) -> None:
    """Void a request: what was asked about has changed. Voiding an ended one is harmless unless it was approved."""
    if request.status not in (ApprovalStatus.OPEN, ApprovalStatus.APPROVED):
        return
    if _move(request, ApprovalStatus.VOID, reason):
        audit_record(actor, "approval.voided", audit_subjects.of_approval(request), reason=reason)
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


def approval_recheck(request: ApprovalRequest, content_hash: str, now: datetime) -> str:
    """Why an approval does not hold any more when it is to take effect, empty when it does.

    Looked at: its status and age, the content it was given for, and whether those who approved are still active and in
    their roles.
    """
    if request.status != ApprovalStatus.APPROVED:
        return f"The approval is {request.status}."
    if request.expires_at <= now:
        return "The approval has expired."
    if request.content_hash != content_hash:
        return "What was approved has changed since (version, artifacts, plan, policy or serving config)."
    lost = []
    approvals: dict[str, list[str]] = {}
    for decision in approving_decisions(request):
        still = set(decision.roles) & set(roles_now(decision.person, request.scopes))
        approvals[decision.person.username] = sorted(still)
        if not decision.person.is_active:
            lost.append(f"{decision.person} approved and is not active any more.")
        elif still != set(decision.roles):
            lost.append(f"{decision.person} approved and has lost the role since.")
    progress = evaluate(request.rules, approvals)
    return "" if progress.met else " ".join(lost or [progress.missing])
