"""How a release goes on by itself before and between rollouts: gates, approval, start.

The tick and hints call this; twice is harmless.
"""

from datetime import datetime, timedelta

from django.db import transaction

from deployments import journal, limits
from deployments.actors import ROLLOUT
from deployments.group_selectors import members_of, why_not_begin_together
from deployments.lifecycle import LIVE_STATUSES, OPEN_STATUSES, READY_STATUSES, ReleaseStatus
from deployments.models import Release
from deployments.moves import release_move
from deployments.quotas import why_no_room
from deployments.rollout.begin import rollout_begin
from deployments.rollout.reconcile import reconcile_now
from deployments.services.approval_content import content_now, covered_changes, why_not_covered
from deployments.services.checks import gates_hold
from mlorch_site.lib.swap import swap
from registry.approvals.emergencies import emergency_recheck
from registry.approvals.services import approval_locked, approval_recheck, approval_void
from registry.lifecycle import ApprovalStatus
from registry.selectors import why_closed
from registry.services import digest_recheck
from registry.version_lifecycle import why_not_served

ENDED_APPROVALS: dict[str, tuple[ReleaseStatus, str]] = {
    ApprovalStatus.REJECTED: (ReleaseStatus.REJECTED, "Rejected."),
    ApprovalStatus.EXPIRED: (ReleaseStatus.EXPIRED, "Nobody decided in time."),
    ApprovalStatus.VOID: (ReleaseStatus.REJECTED, "What was approved has changed."),
    ApprovalStatus.WITHDRAWN: (ReleaseStatus.ABORTED, "The request was withdrawn."),
}


def release_look(*, release_id: str, now: datetime) -> None:
    """Bring a release as far as it comes without waiting: decisions → start → rollout. Gates run elsewhere."""
    # Every second for each rollout, which reads for itself what it needs.
    if Release.objects.filter(pk=release_id, status__in=LIVE_STATUSES).exists():
        reconcile_now(release_id, now=now)
        return
    release = _read(release_id)
    if release is None:
        return
    if release.status == ReleaseStatus.AWAITING_APPROVAL:
        _look_at_approval(release, now)
    if ReleaseStatus(release.status) in READY_STATUSES:
        _look_at_start(release, now)
    if ReleaseStatus(release.status) in LIVE_STATUSES:
        reconcile_now(release_id, now=now)


@transaction.atomic
def _look_at_approval(release: Release, now: datetime) -> None:
    request = release.approval
    if request is None:
        return
    if request.status == ApprovalStatus.OPEN and release_void_changed(release, now=now):
        return
    if request.status == ApprovalStatus.OPEN and (why := gates_hold(release, now)):
        _look_again(release, why, now)
        return
    if request.status == ApprovalStatus.APPROVED:
        release_move(
            release, ReleaseStatus.APPROVED, actor=ROLLOUT, reason="Every approval that is needed was given.", now=now
        )
    elif request.status in ENDED_APPROVALS:
        status, sentence = ENDED_APPROVALS[request.status]
        release_move(release, status, actor=ROLLOUT, reason=request.status_reason or sentence, now=now)
    else:
        _look_again(release, release.status_reason, now)


@transaction.atomic
def release_void_changed(release: Release, *, now: datetime) -> str:
    """Void the open request of a release whose content is not what was asked about any more, and end the release.

    Return the sentence that says what changed, empty when nothing did.
    """
    request = release.approval
    why = why_not_served(release.version, release.digest) or why_not_covered(release)
    if request is None or not why:
        return ""
    changes = covered_changes(release)
    _lock_with_approval(release)
    if release_move(release, ReleaseStatus.REJECTED, actor=ROLLOUT, reason=why, now=now):
        approval_void(actor=ROLLOUT, request=request, reason=why, changes=changes)
    return why


def _lock_with_approval(release: Release) -> None:
    """Take the rows in the order in which everybody does: release, request, and only then the heads of the record and
    of the events. Whoever takes them otherwise may wait for somebody for ever.
    """
    Release.objects.select_for_update(of=("self",)).get(pk=release.pk)
    if release.approval is not None:
        approval_locked(release.approval)


@transaction.atomic
def _look_at_start(release: Release, now: datetime) -> None:
    """Check once more what was approved, then begin the rollout; what only lacks room or a turn waits with the
    reason.
    """
    if refusal := _why_not_valid(release, now):
        status = (
            ReleaseStatus.EXPIRED if release.approval and release.approval.expires_at <= now else ReleaseStatus.REJECTED
        )
        _lock_with_approval(release)
        if release_move(release, status, actor=ROLLOUT, reason=refusal, now=now) and release.approval is not None:
            changes = covered_changes(release)
            approval_void(actor=ROLLOUT, request=release.approval, reason=refusal, changes=changes)
        return
    if reason := _why_wait(release, now) or gates_hold(release, now):
        _look_again(release, reason, now)
        return
    reason = f"Version {release.version.number} is being started."
    if release_move(release, ReleaseStatus.ROLLING_OUT, actor=ROLLOUT, reason=reason, now=now, started_at=now):
        rollout_begin(release, actor=ROLLOUT, now=now)


def _why_not_valid(release: Release, now: datetime) -> str:
    """Why the approval, or the emergency, does not cover what would start now, or an empty string."""
    stable = release.endpoint.stable_release_id
    if (str(stable) if stable else None) != release.plan.get("replaces"):
        return "The endpoint serves another version than when this release was requested; request it again."
    if why := why_not_served(release.version, release.digest):
        return why
    if release.approval is None:
        return ""
    # What began in an emergency was never approved, and is never taken for it.
    recheck = emergency_recheck if release.status == ReleaseStatus.IN_EMERGENCY else approval_recheck
    return recheck(release.approval, content_now(release), now)


def _why_wait(release: Release, now: datetime) -> str:
    # What people approved is compared once more with what MLflow has; without approvers nobody waited in between.
    if release.approval is not None and release.approval.rules and release.approval.ended_at is not None:
        look = digest_recheck(version=release.version, since=release.approval.ended_at, now=now)
        if look:
            return look
    return _no_place(release, now) or why_not_begin_together(release) or _others_have_none(release, now)


def _no_place(release: Release, now: datetime) -> str:
    """Why a release lacks room or a turn."""
    if closed := why_closed(release.endpoint.environment, now, release.endpoint.model):
        return closed
    live = release.endpoint.releases.filter(status__in=LIVE_STATUSES).first()
    if live is not None:
        return f"Waits for {live} to end."
    return why_no_room(release)


def _others_have_none(release: Release, now: datetime) -> str:
    """Why another one of the group, which may begin but for that, lacks room or a turn."""
    for other in members_of(release.group) if release.group is not None else ():
        is_waiting = other.pk != release.pk and ReleaseStatus(other.status) in READY_STATUSES
        if is_waiting and _no_place(other, now):
            return "Waits for another release of the group, to begin together, which has no room or turn yet."
    return ""


def _look_again(release: Release, reason: str, now: datetime) -> None:
    """Keep waiting; people read the reason, and news goes out only when it changed."""
    if ReleaseStatus(release.status) not in OPEN_STATUSES:
        return
    changed = reason != release.status_reason
    due_at = now + timedelta(seconds=limits.LOOK_S if release.status in READY_STATUSES else limits.LOOK_IDLE_S)
    if swap(release, status_reason=reason[: limits.STATUS_REASON_MAX_CHARS], due_at=due_at) and changed:
        journal.write(release, "release.waiting", reason, actor=ROLLOUT, now=now, new=release.status)


def _read(release_id: str) -> Release | None:
    rows = Release.objects.select_related(
        "endpoint__environment",
        "endpoint__model",
        "endpoint__stable_release__serving_config",
        "version__model",
        "approval",
        "policy",
        "serving_config",
        "requester",
        "group",
    )
    return rows.filter(pk=release_id).first()
