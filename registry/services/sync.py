"""The mirror: bring our rows to what the registry shows. The reconcile is the truth, webhooks are hints."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q

from mlorch_site import audit
from mlorch_site.accounts.actor import Actor
from mlorch_site.live.outbox import publish
from registry import subjects
from registry.backends.base import Backend, Evidence, SeenModel, SeenVersion
from registry.lifecycle import VersionStatus
from registry.models import BackendState, Model, Version
from registry.services.aliases import note_alias_moves

MIRROR = Actor.controller("mirror")
LEASE_S = 60


def lease_take(now: datetime) -> int | None:
    """Return the epoch of the sync lease, or None when another sync has it."""
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    taken = BackendState.objects.filter(free, pk=1).update(
        lease_until=now + timedelta(seconds=LEASE_S), lease_epoch=F("lease_epoch") + 1
    )
    return BackendState.objects.values_list("lease_epoch", flat=True).get(pk=1) if taken else None


def lease_release(epoch: int) -> None:
    """Give the lease back, unless somebody took it over meanwhile."""
    BackendState.objects.filter(pk=1, lease_epoch=epoch).update(lease_until=None)


def sync_from_backend(backend: Backend, *, epoch: int, now: datetime) -> int:
    """Read the registry and mirror it; return how many models changed. Raises BackendDown. Refuses to write once its lease was taken over."""
    seen_models = backend.models()
    by_model: dict[str, list[SeenVersion]] = {model.name: [] for model in seen_models}
    for version in backend.versions():
        by_model.setdefault(version.model, []).append(version)
    known = {
        (model, number): at for model, number, at in Version.objects.values_list("model__name", "number", "updated_at")
    }
    evidence = {
        (version.model, version.number): backend.evidence(version)
        for versions in by_model.values()
        for version in versions
        if known.get((version.model, version.number)) != version.updated_at
    }
    changed = 0
    for seen in seen_models:
        with transaction.atomic():
            if not BackendState.objects.filter(pk=1, lease_epoch=epoch).update(checked_at=now):
                return changed
            changed += _mirror_model(seen, by_model[seen.name], evidence, now)
    _mirror_gone(set(by_model), now)
    _backend_works(epoch, now)
    return changed


def _mirror_model(
    seen: SeenModel, versions: list[SeenVersion], evidence: dict[tuple[str, int], Evidence], now: datetime
) -> bool:
    values = {"description": seen.description, "tags": seen.tags, "updated_at": seen.updated_at, "deleted_at": None}
    model, created = Model.objects.get_or_create(name=seen.name, defaults={**values, "created_at": seen.created_at})
    changed = created or any(getattr(model, name) != value for name, value in values.items())
    if changed and not created:
        Model.objects.filter(pk=model.pk).update(**values)
    if created:
        audit.record(MIRROR, "model.mirrored", subjects.of_model(model))
    changed |= _mirror_versions(model, versions, evidence, now)
    note_alias_moves(actor=MIRROR, model=model, seen=seen.aliases, now=now)
    if changed:
        publish("registry", "model.changed", {"model": model.name})
    return bool(changed)


def _mirror_versions(
    model: Model, seen: list[SeenVersion], evidence: dict[tuple[str, int], Evidence], now: datetime
) -> bool:
    known = {version.number: version for version in model.versions.all()}
    changed = False
    for version in seen:
        row = known.get(version.number)
        if row is not None and row.updated_at == version.updated_at and row.status == version.status:
            continue
        changed = True
        _mirror_version(model, row, version, evidence.get((model.name, version.number), Evidence()), now)
    numbers = {version.number for version in seen}
    for number, row in known.items():
        if number not in numbers and row.status != VersionStatus.DELETED:
            changed = True
            Version.objects.filter(pk=row.pk).update(status=VersionStatus.DELETED, digest_due_at=None)
            audit.record(MIRROR, "version.deleted_outside", subjects.of_version(row))
    return changed


def _mirror_version(model: Model, row: Version | None, seen: SeenVersion, found: Evidence, now: datetime) -> None:
    values: dict[str, Any] = {
        "status": seen.status,
        "status_message": seen.status_message,
        "source": seen.source,
        "run_id": seen.run_id,
        "description": seen.description,
        "tags": seen.tags,
        "updated_at": seen.updated_at,
        "evidence": {**(row.evidence if row else {}), **found.values},
    }
    if row is None:
        due_at = now if seen.status == VersionStatus.READY else None
        row = Version.objects.create(
            model=model, number=seen.number, created_at=seen.created_at, digest_due_at=due_at, **values
        )
        audit.record(MIRROR, "version.mirrored", subjects.of_version(row), data={"status": seen.status})
        return
    if row.status != seen.status and seen.status == VersionStatus.READY:
        values["digest_due_at"] = now
    Version.objects.filter(pk=row.pk).update(**values)


@transaction.atomic
def _mirror_gone(names: set[str], now: datetime) -> None:
    for model in Model.objects.filter(deleted_at=None).exclude(name__in=names):
        Model.objects.filter(pk=model.pk).update(deleted_at=now)
        Version.objects.filter(model=model).update(status=VersionStatus.DELETED, digest_due_at=None)
        audit.record(MIRROR, "model.deleted_outside", subjects.of_model(model))
        publish("registry", "model.changed", {"model": model.name})


@transaction.atomic
def _backend_works(epoch: int, now: datetime) -> None:
    before = BackendState.objects.select_for_update().get(pk=1)
    works = {"reachable": True, "ever_reached": True, "checked_at": now, "synced_at": now, "error": ""}
    if BackendState.objects.filter(pk=1, lease_epoch=epoch).update(**works) and not before.reachable:
        publish("registry", "backend.changed", {"reachable": True})


@transaction.atomic
def backend_failed(*, epoch: int, error: str, now: datetime) -> None:
    """Note that the registry does not answer, and why; what is known stays."""
    before = BackendState.objects.select_for_update().get(pk=1)
    fails = {"reachable": False, "checked_at": now, "error": error[:500]}
    if BackendState.objects.filter(pk=1, lease_epoch=epoch).update(**fails) and before.reachable:
        publish("registry", "backend.changed", {"reachable": False})
