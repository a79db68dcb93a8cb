"""Keep what became known of models and versions, for questions about the past."""

from collections.abc import Iterable

from mlorch_site.lib import clock
from registry.lifecycle import FactKind, VersionStatus
from registry.models import Fact, Model, Version


def facts_note(model: Model, facts: dict[FactKind, str], *, version: Version | None = None, key: str = "") -> None:
    """Keep facts about a model, or about one of its versions. Belongs into the transaction of the change.

    The moment is that of the writing: whoever looked earlier was shown what was known before.
    """
    at = clock.now()
    Fact.objects.bulk_create(
        Fact(model=model, version=version, kind=kind.value, key=key, value=value, at=at)
        for kind, value in facts.items()
    )


def versions_gone(versions: Iterable[Version]) -> None:
    """Keep that versions are not in MLflow any more. Belongs into the transaction of the change."""
    at = clock.now()
    Fact.objects.bulk_create(
        Fact(model_id=row.model_id, version=row, kind=FactKind.STATUS.value, value=VersionStatus.DELETED.value, at=at)
        for row in versions
    )
