"""What was known of a model and its versions at an instant, out of facts and findings, which are never changed.

All of it reads the database.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from registry.lifecycle import FactKind
from registry.models import Fact, Finding, Model, Version


@dataclass(frozen=True)
class VersionThen:
    """What was known of a version. `status` and `digest` are None where nothing was; `digest` is that of the files
    which MLflow had, whatever a release had frozen.
    """

    version: Version
    status: str | None = None
    digest: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelThen:
    """What was known of a model. `since` is when keeping it began; before that the rest is None, and no alias known."""

    since: datetime | None
    name: str | None = None
    owner: str | None = None
    risk_tier: str | None = None
    is_deleted: bool = False
    aliases: dict[str, int] = field(default_factory=dict)
    versions: dict[int, VersionThen] = field(default_factory=dict)

    @property
    def is_recorded(self) -> bool:
        return self.name is not None or self.owner is not None or self.risk_tier is not None


def model_then(model: Model, instant: datetime, versions: Iterable[Version]) -> ModelThen:
    """What was known at `instant` of a model and of these versions of it; `versions` of the answer is by their keys."""
    first = Fact.objects.filter(model=model).order_by("id").values_list("at", flat=True).first()
    rows = Fact.objects.filter(model=model, version=None, at__lte=instant).order_by("id")
    known = {(kind, key): value for kind, key, value in rows.values_list("kind", "key", "value")}
    numbers = {key: int(value) for (kind, key), value in known.items() if kind == FactKind.ALIAS and value}
    return ModelThen(
        since=first,
        name=known.get((FactKind.NAME, "")),
        owner=known.get((FactKind.OWNER, "")),
        risk_tier=known.get((FactKind.RISK_TIER, "")),
        is_deleted=bool(known.get((FactKind.DELETED, ""))),
        aliases=dict(sorted(numbers.items())),
        versions=_versions_then(list(versions), instant, numbers),
    )


def _versions_then(versions: list[Version], instant: datetime, aliases: dict[str, int]) -> dict[int, VersionThen]:
    rows = Fact.objects.filter(version__in=[version.pk for version in versions], at__lte=instant).order_by("id")
    known: dict[tuple[int | None, str], str] = {
        (version, kind): value for version, kind, value in rows.values_list("version", "kind", "value")
    }
    return {
        version.pk: VersionThen(
            version,
            known.get((version.pk, FactKind.STATUS)),
            known.get((version.pk, FactKind.DIGEST)),
            tuple(sorted(name for name, number in aliases.items() if _is_meant(version, number, instant))),
        )
        for version in versions
    }


def _is_meant(version: Version, number: int, instant: datetime) -> bool:
    """Whether the version had the number at `instant`: one that is made again takes it over, and its aliases."""
    return version.number == number and (version.superseded_at is None or version.superseded_at > instant)


def versions_known(model: Model, instant: datetime) -> QuerySet[Version]:
    """The versions of a model that were known at `instant` and had their numbers then, newest first."""
    known = Fact.objects.filter(version=OuterRef("pk"), at__lte=instant)
    had_number = Q(superseded_at=None) | Q(superseded_at__gt=instant)
    versions = model.versions.filter(had_number, Exists(known)).select_related("model")
    return versions.defer("manifest", "evidence", "signature")  # may be large, and follow MLflow


def findings_then(model: Model, instant: datetime) -> list[Finding]:
    """What had been found done outside mlorch by `instant` and was not resolved then, newest first."""
    is_open = Q(resolved_at=None) | Q(resolved_at__gt=instant)
    return list(model.findings.filter(is_open, found_at__lte=instant).order_by("-found_at", "pk"))


def moments_of_model(model: Model) -> list[tuple[QuerySet[Any], str]]:
    """The rows that say when something became known of a model, each with the field of the moment."""
    findings = model.findings.all()
    return [(model.facts.all(), "at"), (findings, "found_at"), (findings, "resolved_at")]
