"""A requester answers a request for changes: it is withdrawn, and the next one of the endpoint is its answer."""

from django.db import transaction

from deployments import journal
from deployments.lifecycle import ReleaseStatus
from deployments.models import Release
from deployments.moves import release_move
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from registry.approvals.services import approval_locked, approval_withdraw
from registry.lifecycle import ApprovalStatus, DecisionKind
from registry.models import ApprovalRequest

REASON_MAX_CHARS = 500
ENDED_UNANSWERED = (ApprovalStatus.WITHDRAWN, ApprovalStatus.REJECTED, ApprovalStatus.VOID, ApprovalStatus.EXPIRED)


@transaction.atomic
def release_withdraw(*, actor: Actor, release: Release, reason: str) -> Release:
    """Withdraw one's own release while it waits for approval; nothing of it starts any more. Twice is harmless.

    Raises Forbidden for anybody but the requester, Invalid without a reason, Conflict when it does not wait any more.
    """
    actor.require_write()
    release = Release.objects.select_for_update(of=("self",)).select_related("approval").get(pk=release.pk)
    if why := why_not_withdraw(actor, release):
        raise Forbidden(why)
    if release.status == ReleaseStatus.ABORTED:
        return release
    reason = reason.strip()
    if not 1 <= len(reason) <= REASON_MAX_CHARS:
        raise Invalid(f"Say why, in 1 to {REASON_MAX_CHARS} characters.", details={"reason": "missing or too long"})
    if release.status != ReleaseStatus.AWAITING_APPROVAL or release.approval is None:
        raise Conflict(f"This release is {release.status.replace('_', ' ')}; it does not wait for approval.")
    request = approval_locked(release.approval)
    if request.status != ApprovalStatus.OPEN:
        raise Conflict(f"The request is {request.status} already.")
    approval_withdraw(actor=actor, request=request, reason=f"{actor.name}: {reason}")
    now, sentence = clock.now(), f"{actor.name} withdrew the request: {reason}"
    if not release_move(release, ReleaseStatus.ABORTED, actor=actor, reason=sentence, now=now):
        raise Conflict("The release changed at the same moment; try again.")
    journal.announce(release)
    return release


def why_not_withdraw(actor: Actor, release: Release) -> str:
    """Why the actor may not withdraw the request, whatever its state; empty when it may."""
    if actor.user is None or actor.user.pk != release.requester_id:
        return f"Only {release.requester.username}, who asked for this release, can withdraw the request."
    return actor.why_not(Action.RELEASE_REQUEST, release.scopes)


def answered_request(release: Release) -> ApprovalRequest | None:
    """The request that a release answers: the last one of its endpoint by the same requester, when that ended with
    changes asked for and nothing has answered it; None otherwise (reads the database).
    """
    earlier = Release.objects.filter(endpoint=release.endpoint_id, kind=release.kind, approval__isnull=False)
    last = earlier.exclude(pk=release.pk).select_related("approval").order_by("-created_at").first()
    if last is None or last.approval is None or last.requester_id != release.requester_id:
        return None
    request = last.approval
    is_answered = ApprovalRequest.objects.filter(answers=request).exclude(subject_id=str(release.pk)).exists()
    asked = request.decisions.filter(kind=DecisionKind.REQUEST_CHANGES).exists()
    ended = request.status in ENDED_UNANSWERED
    return request if asked and ended and not is_answered else None
