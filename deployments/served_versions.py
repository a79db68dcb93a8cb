"""Where versions serve, are being released, or would be brought back: what the registry asks before it lets one be
retired or blocked. Reads the database.
"""

from collections.abc import Collection, Iterator

from django.db.models import Q
from django.urls import reverse

from deployments.models import Endpoint, EndpointArm, Release
from deployments.selectors import OPEN, endpoints_visible_to
from mlorch_site.accounts.actor import Actor
from registry.models import Version
from registry.version_uses import UseKind, VersionUse


def uses(version: Version, actor: Actor | None) -> Iterator[VersionUse]:
    """Where a version is used, as far as `actor` may see it; without one everything."""
    seen = Endpoint.objects.all() if actor is None else endpoints_visible_to(actor)
    places = Q(endpoint__in=seen.values("pk"))
    arms = EndpointArm.objects.filter(places, version=version).select_related("endpoint__environment")
    for arm in arms.order_by("endpoint_id", "arm"):
        share = f"{arm.weight_pct} % of the traffic" if arm.weight_pct else "no traffic that clients see"
        text = f"{arm.endpoint} serves it as {arm.arm}, with {share}."
        yield VersionUse(UseKind.SERVES, f"{arm.endpoint_id}/{arm.arm}", text, _address(arm.endpoint))
    opened = Release.objects.filter(places, version=version, status__in=OPEN)
    for release in opened.select_related("endpoint__environment"):
        text = f"Its release to {release.endpoint} is {release.status.replace('_', ' ')}."
        yield VersionUse(UseKind.RELEASING, str(release.pk), text, reverse("release", args=[release.pk]))
    for endpoint in seen.filter(_would_return(version)).distinct().select_related("environment"):
        yield VersionUse(UseKind.RETURN, f"{endpoint.pk}/return", _returns(endpoint), _address(endpoint))


def served(versions: Collection[int]) -> set[int]:
    """Those of the versions that have, or ever had, a part of some traffic."""
    begun = Release.objects.filter(version__in=versions, started_at__isnull=False).order_by()
    arms = EndpointArm.objects.filter(version__in=versions).order_by()
    return {*begun.values_list("version", flat=True), *arms.values_list("version", flat=True)}


def _would_return(version: Version) -> Q:
    """The filter for endpoints that a rollback, or the end of their retirement, would bring back to a version."""
    replaced = Q(stable_release__replaces__version=version, stable_release__kind="release")
    restored = Q(stable_release__restores__replaces__version=version)
    return (Q(retired_at=None) & (replaced | restored)) | Q(retired_at__isnull=False, stable_release__version=version)


def _returns(endpoint: Endpoint) -> str:
    if endpoint.retired_at is not None:
        return f"{endpoint} is retired, and would come back with it."
    return f"A rollback of {endpoint} would go back to it."


def _address(endpoint: Endpoint) -> str:
    return reverse("endpoint", args=[endpoint.environment.name, endpoint.name])
