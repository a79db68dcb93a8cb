"""What became of a version's files wherever they were released: read before they are released again."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from deployments.lifecycle import RELEASE_LOOKS, Look, ReleaseStatus
from deployments.models import Release
from deployments.selectors import releases_visible_to
from mlorch_site.accounts.actor import Actor

SHOWN_MAX = 20


@dataclass(frozen=True)
class Stay:
    """One release of the files. `taken_back` is the later rollback by hand that ended it, if there was one."""

    release: Release
    taken_back: Release | None

    @property
    def look(self) -> Look:
        return RELEASE_LOOKS[ReleaseStatus.ROLLED_BACK if self.taken_back else ReleaseStatus(self.release.status)]

    @property
    def why(self) -> str:
        return (self.taken_back.reason or "Rolled back by hand.") if self.taken_back else self.release.status_reason

    @property
    def is_taken_back(self) -> bool:
        return self.taken_back is not None or self.release.status == ReleaseStatus.ROLLED_BACK

    @property
    def at(self) -> datetime:
        """When it ended, or was asked for while it has not."""
        return (self.taken_back or self.release).ended_at or self.release.created_at


def biography(release: Release, actor: Actor | None = None) -> list[Stay]:
    """The other releases of the same files that an actor may see, newest first; without an actor all of them."""
    rows = Release.objects.all() if actor is None else releases_visible_to(actor)
    stays = [Stay(row, _rollback_of(row)) for row in _others(release, rows)]
    return sorted(stays, key=lambda stay: stay.at, reverse=True)


def _others(release: Release, rows: QuerySet[Release]) -> QuerySet[Release]:
    same = rows.filter(digest=release.version.digest) if release.version.digest else rows.none()
    others = same.filter(kind="release").exclude(pk=release.pk).select_related("endpoint__environment", "requester")
    return others.order_by("-created_at")[:SHOWN_MAX]


def _rollback_of(release: Release) -> Release | None:
    taken = Release.objects.filter(kind="rollback", replaces=release, status=ReleaseStatus.SUCCEEDED)
    return taken.order_by("-created_at").first()


def taken_back_sentences(release: Release) -> tuple[str, ...]:
    """Where and why the files of a release were taken back before, newest first."""
    back = [stay for stay in biography(release) if stay.is_taken_back]
    return tuple(f"in {stay.release.endpoint.environment.name} on {stay.at:%Y-%m-%d}: {stay.why}" for stay in back)
