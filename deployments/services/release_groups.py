"""Coordinated releases: several endpoints change together, or none does.

Members are requested, checked and approved each by itself. They begin when all may, are promoted when all are ready,
and when one ends otherwise the others go back, also those that were promoted already. What a group does next is found
from its members' rows at every look, so that a look that is late, comes twice, or was broken off changes nothing.
"""

from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import transaction

from deployments import journal, limits
from deployments.actors import GROUPS
from deployments.group_selectors import groups_due, members_of
from deployments.lifecycle import GATED_STATUSES, LIVE_STATUSES, GroupOutcome, ReleaseStatus
from deployments.models import Release, ReleaseGroup
from deployments.rollout.reconcile import reconcile_now
from deployments.selectors import live_release, rollback_target, why_no_rollback_target
from deployments.services.controls import endpoint_rollback, release_abort
from deployments.services.restoring import RestoringAct, restoring_release
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, DomainError, Forbidden, Invalid

log = structlog.get_logger(__name__)

BAD_ENDS = (
    ReleaseStatus.ROLLED_BACK,
    ReleaseStatus.ABORTED,
    ReleaseStatus.REJECTED,
    ReleaseStatus.EXPIRED,
    ReleaseStatus.FAILED,
)


@transaction.atomic
def release_group_open(*, actor: Actor, name: str, reason: str = "") -> ReleaseGroup:
    """Begin a group; releases are requested into it. Raises Forbidden, Invalid."""
    if not actor.may_anywhere(Action.RELEASE_REQUEST):
        raise Forbidden(actor.why_not(Action.RELEASE_REQUEST))
    actor.require_write()
    name = name.strip()
    if not name or len(name) > limits.GROUP_NAME_MAX_CHARS or not name.isprintable():
        raise Invalid("A group has a name.", details={"name": f"1 to {limits.GROUP_NAME_MAX_CHARS} characters"})
    if len(reason) > limits.REASON_MAX_CHARS or "\x00" in reason:
        raise Invalid("The reason is too long.", details={"reason": f"up to {limits.REASON_MAX_CHARS} characters"})
    group = ReleaseGroup.objects.create(name=name, reason=reason, created_by=actor.name, created_at=clock.now())
    audit_record(actor, "release_group.opened", _subject(group, []), reason=reason)
    return group


@transaction.atomic
def release_group_close(*, actor: Actor, group: ReleaseGroup) -> ReleaseGroup:
    """Release the group: it takes no more members, and those it has begin as soon as all may. Twice is harmless.

    Raises Forbidden, and Conflict with fewer than two members that wait to begin.
    """
    found, members = _locked(group)
    _require_own(actor, found, members)
    if found.closed_at is not None:
        return found
    waiting = [one for one in members if ReleaseStatus(one.status) in GATED_STATUSES]
    if found.ended_at is None and len(waiting) < len(members):
        raise Conflict("One of its releases has ended already, so not all of them could go. End the group.")
    if found.ended_at is not None or len(waiting) < limits.GROUP_MEMBERS_MIN:
        raise Conflict(f"A group has at least {limits.GROUP_MEMBERS_MIN} releases that have not begun.")
    found.closed_at = clock.now()
    found.save(update_fields=["closed_at"])
    audit_record(actor, "release_group.released", _subject(found, members))
    for member in members:
        Release.objects.filter(pk=member.pk, due_at__gt=found.closed_at).update(due_at=found.closed_at)
        _note(member, "group.released", f"{actor.name} released the group {found}.", actor)
    return found


@transaction.atomic
def release_group_abort(*, actor: Actor, group: ReleaseGroup, reason: str = "") -> ReleaseGroup:
    """End the group: what has not begun ends, what has goes back. Twice is harmless. Raises Forbidden, Conflict."""
    found, members = _locked(group)
    _require_own(actor, found, members)
    if found.ended_at is not None:
        if found.outcome == GroupOutcome.TAKEN_BACK:
            return found
        raise Conflict(f"The group has ended: {found.sentence}")
    if found.failed_at is None:
        _fail(found, f"{actor.name} ended the group. {reason}".strip(), actor, members)
    return found


def groups_look(*, now: datetime) -> None:
    """Look at every group that has not ended. Twice, late or broken off is harmless."""
    for pk in groups_due().values_list("pk", flat=True)[: limits.GROUPS_PER_TICK]:
        try:
            with transaction.atomic():
                _look(pk, now)
        except Exception:  # one group that cannot be looked at must not stop the others
            log.exception("release_group.look_failed", group=str(pk))


def _look(pk: UUID, now: datetime) -> None:
    group, members = _locked(ReleaseGroup(pk=pk))
    if group.ended_at is not None:
        return
    if group.failed_at is None and (why := _why_back(members, now)):
        _fail(group, why, GROUPS, members)
    if group.failed_at is not None:
        _take_back(group, members)
    elif members and group.closed_at and all(one.status == ReleaseStatus.SUCCEEDED for one in members):
        _end(group, GroupOutcome.SUCCEEDED, f"All {len(members)} were promoted together.", members)


def _why_back(members: list[Release], now: datetime) -> str:
    """Why the group goes back; empty when it does not. No member is named: not all who read it may see all of them."""
    bad = next((one for one in members if ReleaseStatus(one.status) in BAD_ENDS), None)
    if bad is not None:
        return f"One of its releases is {bad.status.replace('_', ' ')}."
    if _gone_back(members) is not None:
        return "One of its releases was promoted, and serves no more."
    if any(_waited_too_long(one, now) for one in members):
        return "One of its releases was ready, and the others were not in time."
    return ""


def _gone_back(members: list[Release]) -> Release | None:
    """A member that was promoted and serves no more, as somebody rolled it back."""
    promoted = [one for one in members if one.status == ReleaseStatus.SUCCEEDED]
    return next((one for one in promoted if one.endpoint.stable_release_id != one.pk), None)


def _waited_too_long(release: Release, now: datetime) -> bool:
    rollout = getattr(release, "rollout", None)
    since = rollout.joined_at if rollout is not None and release.status in LIVE_STATUSES else None
    since = release.ended_at if release.status == ReleaseStatus.SUCCEEDED else since
    return since is not None and now - since >= timedelta(seconds=limits.HOLD_DEADLINE_S)


def _fail(group: ReleaseGroup, sentence: str, actor: Actor, members: list[Release]) -> None:
    group.failed_at, group.sentence = clock.now(), sentence[: limits.REASON_MAX_CHARS]
    group.save(update_fields=["failed_at", "sentence"])
    audit_record(actor, "release_group.taken_back", _subject(group, members), reason=group.sentence)
    for member in members:
        _note(member, "group.taken_back", f"The group {group} goes back. {group.sentence}", actor)


def _take_back(group: ReleaseGroup, members: list[Release]) -> None:
    """Send everything back that has not gone; the group has ended when nothing is left to do."""
    left = [member for member in members if not _went_back(group, member)]
    if left:
        return
    stays = sum(one.endpoint.stable_release_id == one.pk for one in members)
    could_not = f" {stays} of them could not be rolled back and stay; their history says why." if stays else ""
    _end(group, GroupOutcome.TAKEN_BACK, f"{group.sentence}{could_not}"[: limits.REASON_MAX_CHARS], members)


def _went_back(group: ReleaseGroup, member: Release) -> bool:
    """Whether there is nothing left of a member; else what takes it back was ordered, now or before."""
    reason = f"The group {group} goes back: {group.sentence}"[: limits.REASON_MAX_CHARS]
    status, endpoint = ReleaseStatus(member.status), member.endpoint
    is_serving = status is ReleaseStatus.SUCCEEDED and endpoint.stable_release_id == member.pk
    if status not in GATED_STATUSES | LIVE_STATUSES and not is_serving:
        return True
    if is_serving and live_release(endpoint) is not None:
        return False  # what rolls out now ends first
    try:
        with transaction.atomic():
            if status in GATED_STATUSES:
                release_abort(actor=GROUPS, release=member, reason=reason)
            elif is_serving:
                _restore(member, reason)
            else:
                endpoint_rollback(actor=GROUPS, endpoint=endpoint, expects=str(member.pk), reason=reason)
        return False
    except DomainError as error:
        return _without_a_way(member, error, is_serving, reason)


def _restore(member: Release, reason: str) -> None:
    """Bring back what a promoted member had replaced, in the name of who asked for the member. Raises Conflict."""
    endpoint = member.endpoint
    target = rollback_target(endpoint)
    if target is None:
        raise Conflict(why_no_rollback_target(endpoint))
    sentence = f"{endpoint} goes back from version {member.version.number} to {target.version.number}. {reason}"
    act = RestoringAct("endpoint.rolled_back", sentence, {"group": str(member.group_id)})
    back = restoring_release(
        actor=GROUPS, endpoint=endpoint, target=target, act=act, reason=reason, requester=member.requester
    )
    reconcile_now(str(back.pk), now=clock.now())


def _without_a_way(member: Release, error: DomainError, is_serving: bool, reason: str) -> bool:
    """A member that cannot be rolled back: one that serves stays, which is said; one that rolls out is aborted."""
    if is_serving:
        _note(member, "group.no_return", f"It stays, as it cannot be rolled back: {error.message}", GROUPS)
        return True
    release_abort(actor=GROUPS, release=member, reason=reason)
    return False


def _end(group: ReleaseGroup, outcome: GroupOutcome, sentence: str, members: list[Release]) -> None:
    group.outcome, group.sentence, group.ended_at = outcome, sentence, clock.now()
    group.save(update_fields=["outcome", "sentence", "ended_at"])
    audit_record(GROUPS, "release_group.ended", _subject(group, members), reason=sentence, data={"outcome": outcome})


def _locked(group: ReleaseGroup) -> tuple[ReleaseGroup, list[Release]]:
    found = ReleaseGroup.objects.select_for_update().get(pk=group.pk)
    return found, members_of(found)


def _require_own(actor: Actor, group: ReleaseGroup, members: list[Release]) -> None:
    """Whoever opened the group may; so may who may abort each of its members."""
    if actor.name == group.created_by:
        actor.require_write()
        return
    for member in members:
        actor.require(Action.RELEASE_ABORT, member.scopes)
    if not members:
        raise Forbidden(f"Only {group.created_by} may: the group has no members yet.")


def _note(member: Release, kind: str, sentence: str, actor: Actor) -> None:
    journal.write(member, kind, sentence, actor=actor, now=clock.now())


def _subject(group: ReleaseGroup, members: list[Release]) -> Subject:
    scopes = sorted({scope for member in members for scope in member.scopes})
    return Subject("release_group", str(group.pk), str(group), tuple(scopes))
