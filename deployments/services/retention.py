"""Which artifacts deployments need, and the sweep that lets the others go."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet

from deployments.actors import RETENTION
from deployments.kept_files import files_kept
from deployments.lifecycle import OPEN_STATUSES, ReleaseStatus
from deployments.models import Endpoint, EndpointArm, Release, Replica
from registry.services import Sweep, artifact_sets_plan, artifact_sets_sweep


@dataclass(frozen=True)
class Link:
    """What a walk back through releases needs of one of them."""

    digest: str
    kind: str
    restores: UUID | None
    replaces: UUID | None


def artifacts_sweep(*, now: datetime) -> Sweep:
    """Let go of the artifacts that nothing needs any more. Sweeping twice or together is harmless."""
    return artifact_sets_sweep(actor=RETENTION, needed=digests_needed, kept=lambda: files_kept(now), now=now)


def artifacts_plan(*, now: datetime) -> Sweep:
    """What a sweep would let go now; nothing is written."""
    needed = digests_needed()
    return artifact_sets_plan(needed=needed, kept=files_kept(now), now=now)


def digests_needed() -> set[str]:
    """The digests that run, that wait, that serve, or that an endpoint can be taken back to (reads the database).

    A retired endpoint can be restored at any time, so it needs what it served, as a serving one does.
    """
    opened = Release.objects.filter(status__in=OPEN_STATUSES)
    needed = {
        *_values(Replica.objects.all(), "digest"),
        *_values(opened, "digest"),
        *_values(opened, "version__digest"),
        *_values(opened, "restores__digest"),
        *_values(EndpointArm.objects.all(), "release__digest"),
        *_served_and_before(),
    }
    return needed - {"", None}


def _values(rows: QuerySet[Replica] | QuerySet[Release] | QuerySet[EndpointArm], name: str) -> Iterable[str]:
    return rows.order_by().values_list(name, flat=True).distinct()


def _served_and_before() -> set[str]:
    """What each endpoint serves, and the releases that rolling back again and again would return to."""
    rows = Release.objects.filter(status=ReleaseStatus.SUCCEEDED).order_by()
    links = {
        pk: Link(digest, kind, restores, replaces)
        for pk, digest, kind, restores, replaces in rows.values_list(
            "pk", "digest", "kind", "restores_id", "replaces_id"
        )
    }
    found = set()
    for stable in Endpoint.objects.exclude(stable_release=None).values_list("stable_release_id", flat=True):
        place: UUID | None = stable
        for _ in range(1 + settings.ROLLBACKS_KEPT):
            link = _original(links, place)
            if link is None:
                break
            found.add(link.digest)
            place = link.replaces
    return found


def _original(links: dict[UUID, Link], place: UUID | None) -> Link | None:
    """The release itself, or the one whose version it restored."""
    link = links.get(place) if place is not None else None
    while link is not None and link.kind == "rollback" and link.restores is not None:
        link = links.get(link.restores)
    return link
