"""Under which key it is kept what a version's requirements resolve to, and what was kept."""

from datetime import timedelta

from mlorch_site.lib import clock
from mlorch_site.lib.hashing import content_hash
from registry.models import Resolution, Version


def resolution_key(version: Version) -> str:
    """A hash over the requirement lines and the minor version of Python."""
    lines = sorted(line.strip() for line in version.evidence.get("requirements", []))
    built_with = sorted(line.strip() for line in version.evidence.get("build_requirements", []))
    python = ".".join(str(version.evidence.get("python", "")).split(".")[:2])
    return content_hash([lines, built_with, python])


def resolution_of(version: Version, *, days: int | None = None) -> Resolution | None:
    """What the version's requirements resolved to when they were installed last, None when they never were, or not
    within so many days.
    """
    rows = Resolution.objects.filter(key=resolution_key(version))
    if days is not None:
        rows = rows.filter(at__gt=clock.now() - timedelta(days=days))
    return rows.first()
