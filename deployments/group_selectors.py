"""Which groups of releases are shown to whom, and what a member waits for. Everything here reads the database."""

from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from deployments.lifecycle import LIVE_STATUSES, READY_STATUSES, Phase, ReleaseStatus
from deployments.models import Release, ReleaseGroup
from deployments.selectors import releases_visible_to
from mlorch_site.accounts.actor import Actor
from mlorch_site.lib.errors import NotFound

WITH = (
    "endpoint__environment",
    "endpoint__model",
    "version__model",
    "rollout",
    "group",
    "policy",
    "requester",
    "serving_config",
)
PROMOTED = (Phase.PROMOTING, Phase.DONE)


def groups_visible_to(actor: Actor) -> "QuerySet[ReleaseGroup]":
    """The groups of which the actor may see a member, and its own."""
    seen = Exists(releases_visible_to(actor).filter(group=OuterRef("pk")))
    return ReleaseGroup.objects.filter(seen) | ReleaseGroup.objects.filter(created_by=actor.name)


def group_for(actor: Actor, pk: UUID | str) -> ReleaseGroup:
    """One group. Hidden and missing look the same (NotFound)."""
    try:
        found = groups_visible_to(actor).filter(pk=UUID(str(pk))).first()
    except ValueError:
        found = None
    if found is None:
        raise NotFound("There is no such group of releases.")
    return found


def members_of(group: ReleaseGroup) -> list[Release]:
    """All members, as they were requested."""
    return list(group.members.select_related(*WITH).order_by("created_at"))


def groups_due() -> "QuerySet[ReleaseGroup]":
    """The groups that have something to do by themselves: those that were released, or go back. The oldest first."""
    began = Q(closed_at__isnull=False) | Q(failed_at__isnull=False)
    return ReleaseGroup.objects.filter(began, ended_at=None).order_by("created_at")


def why_not_begin_together(release: Release) -> str:
    """Why a member does not begin although it could alone; empty for one that is in no group. Others are not named:
    whoever reads it may not be allowed to see them.
    """
    if release.group is None:
        return ""
    if release.group.closed_at is None:
        return f"Waits until the group {release.group} is released."
    for other in members_of(release.group):
        status = ReleaseStatus(other.status)
        if other.pk != release.pk and status not in READY_STATUSES | LIVE_STATUSES | {ReleaseStatus.SUCCEEDED}:
            return f"Waits for another release of the group, which is {status.replace('_', ' ')}, to begin together."
    return ""


def why_not_promote_together(release: Release) -> str:
    """Why a member that is ready to be promoted waits for others; empty for one that is in no group."""
    if release.group is None:
        return ""
    if release.group.failed_at is not None:
        return f"The group goes back. {release.group.sentence}"
    waited_for = sum(one.pk != release.pk and not _is_ready(one) for one in members_of(release.group))
    return f"Ready; all of the group are promoted together, and {waited_for} of it are not ready." if waited_for else ""


def _is_ready(member: Release) -> bool:
    """Whether a member is promoted, or would be, were it not for the others."""
    rollout = getattr(member, "rollout", None)
    if rollout is None:
        return False
    if member.status == ReleaseStatus.ROLLING_OUT:
        return rollout.joined_at is not None or Phase(rollout.phase) in PROMOTED
    return member.status == ReleaseStatus.SUCCEEDED
