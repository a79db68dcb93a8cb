"""Two revisions of a serving config side by side: what a release changes besides the version."""

from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import Any

from deployments.models import ServingConfig
from deployments.services.endpoints import ServingWish


@dataclass(frozen=True)
class ServingDifference:
    """One setting that differs. `before` is None when nothing was served before."""

    name: str
    before: Any
    after: Any


def compare_serving(before: ServingConfig | None, after: ServingConfig) -> list[ServingDifference]:
    """The settings that differ; against nothing, those that are not the usual ones."""
    usual = ServingWish()
    rows = []
    for field in fields_of(ServingWish):
        old = getattr(before or usual, field.name)
        new = getattr(after, field.name)
        if _plain(old) != _plain(new):
            rows.append(ServingDifference(field.name, old if before else None, new))
    return rows


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
