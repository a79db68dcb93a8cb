"""What a report says of the approval: who decided what, when, and under which revision of which policy."""

from typing import Any

from deployments.models import Release
from registry.approvals.selectors import approval_progress, approving_decisions
from registry.lifecycle import ApprovalStatus
from registry.models import ApprovalRequest, Decision, Emergency

EARLIER_MAX = 20


def approval_of(release: Release) -> dict[str, Any] | None:
    """The approval of a release as JSON-able values, with the earlier requests that it answers; None without one."""
    request = release.approval
    if request is None:
        return None
    return {**_request(request), "emergency": _emergency(release.emergency), "earlier": _earlier(request)}


def _request(request: ApprovalRequest) -> dict[str, Any]:
    decisions = list(request.decisions.select_related("person", "on_behalf_of").order_by("at", "pk"))
    counting = {decision.pk for decision in approving_decisions(request)}
    is_approved = request.status == ApprovalStatus.APPROVED
    return {
        "status": request.status,
        "sentence": request.status_reason,
        "policy": str(request.policy),
        "policy_revision": request.policy.revision,
        "content_hash": request.content_hash,
        "risk_tier": request.risk_tier,
        "opened_at": request.created_at.isoformat(),
        "ended_at": request.ended_at.isoformat() if request.ended_at else None,
        "approved_at": request.ended_at.isoformat() if is_approved and request.ended_at else None,
        "rules": [{"rule": rule.label, "given_by": rule.given_by} for rule in approval_progress(request).rules],
        "decisions": [_decision(decision, is_counting=decision.pk in counting) for decision in decisions],
    }


def _decision(decision: Decision, *, is_counting: bool) -> dict[str, Any]:
    """`counts`: whether it was one of the approvals that the rules were met with."""
    return {
        "person": decision.by,
        "kind": decision.kind,
        "roles": decision.roles,
        "comment": decision.comment,
        "at": decision.at.isoformat(),
        "content_hash": decision.content_hash,
        "counts": is_counting,
        "proven_by": decision.proven_by,
        "proven_at": decision.proven_at.isoformat() if decision.proven_at else None,
    }


def _emergency(used: Emergency | None) -> dict[str, Any] | None:
    if used is None:
        return None
    return {
        "used_by": used.used_by.username,
        "at": used.used_at.isoformat(),
        "reason": used.reason,
        "ticket": used.ticket,
        "skipped": used.skipped,
    }


def _earlier(request: ApprovalRequest) -> list[dict[str, Any]]:
    """The requests that this one answers, newest first."""
    found: list[dict[str, Any]] = []
    before = request.answers
    while before is not None and len(found) < EARLIER_MAX:
        found.append(_request(before))
        before = before.answers
    return found
