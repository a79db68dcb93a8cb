"""What somebody changed in MLflow of a version that serves or served: seen, told and kept."""

from datetime import datetime
from typing import Any

from mlorch_site.audit.services import audit_record
from registry import audit_subjects
from registry.actors import MIRROR
from registry.models import Finding, Model, Version
from registry.version_lifecycle import LIFECYCLE_TAG
from registry.version_uses import UseKind, served_among, uses_of

VERSION_EDITED = "version_edited"
VERSION_DELETED = "version_deleted"
ALIAS_OF_SERVING = "alias_of_serving"
SHOWN_MAX_CHARS = 2000
TAGS_NAMED = 5
TAGS_KEPT = 50


def note_edits(edited: list[tuple[Version, str, dict[str, str]]], now: datetime) -> None:
    """Keep what became of the description and the tags of versions: each row as it was, with what MLflow says now.

    Only those that serve or served count. Belongs into the transaction of the mirror.
    """
    served = served_among([row for row, _, _ in edited])
    for row, description, tags in edited:
        if row.pk in served and (changes := _changes(row, description, tags)):
            _found(
                row, VERSION_EDITED, f"{_named(changes)} of {row}, which {_use(row)}, changed in MLflow.", changes, now
            )
            audit_record(MIRROR, "version.edited_outside", audit_subjects.of_version(row), data=changes)


def note_deleted(gone: list[Version], now: datetime) -> None:
    """Show which of the versions that were deleted in MLflow serve or served; their traffic is not touched."""
    served = served_among(gone)
    for row in gone:
        if row.pk in served:
            text = f"{row}, which {_use(row)}, was deleted in MLflow. Its traffic goes on from the artifact store."
            _found(row, VERSION_DELETED, text, {}, now)


def note_alias_of_serving(model: Model, alias: str, before: int | None, after: int | None, now: datetime) -> None:
    """Show that an alias which mlorch does not place was moved in MLflow to or from a version that serves."""
    numbers = [number for number in (before, after) if number is not None]
    for row in model.versions.filter(number__in=numbers, superseded_at=None).select_related("model"):
        if any(use.kind is UseKind.SERVES for use in uses_of(row)):
            way = "given to" if row.number == after else "taken from"
            data = {"alias": alias, "from": before, "to": after}
            text = f"The alias {alias} was {way} {row}, which {_use(row)}, in MLflow."
            _found(row, ALIAS_OF_SERVING, text, data, now)


def _changes(row: Version, description: str, tags: dict[str, str]) -> dict[str, Any]:
    """What differs, each as before and after."""
    changes: dict[str, Any] = {}
    if row.description != description:
        changes["description"] = {"before": row.description[:SHOWN_MAX_CHARS], "after": description[:SHOWN_MAX_CHARS]}
    names = sorted(name for name in row.tags.keys() | tags.keys() if row.tags.get(name) != tags.get(name))
    ours = {name: _pair(row.tags.get(name), tags.get(name)) for name in names if name != LIFECYCLE_TAG}
    if ours:
        changes["tags"] = dict(list(ours.items())[:TAGS_KEPT])
    return changes


def _pair(before: str | None, after: str | None) -> dict[str, str | None]:
    return {
        "before": None if before is None else before[:SHOWN_MAX_CHARS],
        "after": None if after is None else after[:SHOWN_MAX_CHARS],
    }


def _named(changes: dict[str, Any]) -> str:
    tags = list(changes.get("tags", {}))
    parts = ["the description"] if "description" in changes else []
    if tags:
        more = f" and {len(tags) - TAGS_NAMED} more" if len(tags) > TAGS_NAMED else ""
        names = ", ".join(name[:60] for name in tags[:TAGS_NAMED])
        parts.append(f"the tag{'s' if len(tags) > 1 else ''} {names}{more}")
    text = " and ".join(parts)
    return text[0].upper() + text[1:]


def _use(row: Version) -> str:
    return "serves" if any(use.kind is UseKind.SERVES for use in uses_of(row)) else "served"


def _found(row: Version, kind: str, summary: str, changes: dict[str, Any], now: datetime) -> None:
    """A finding in place of an open one of the same kind about the version: what was kept with that stays with it."""
    known = Finding.objects.filter(model=row.model, kind=kind, data__version=row.pk, resolved_at=None)
    known.update(resolved_at=now, resolution="Changed again in MLflow.")
    data = {**changes, "version": row.pk, "number": row.number}
    Finding.objects.create(model=row.model, kind=kind, summary=summary[:500], data=data, found_at=now)
