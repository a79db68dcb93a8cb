"""The mirror: bring our rows to what the registry shows. The reconcile is the truth, webhooks are hints."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F, Q

from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.live.outbox import publish
from registry import audit_subjects
from registry.actors import MIRROR
from registry.backends.base import Backend, BackendRefused, SeenModel, SeenVersion
from registry.lifecycle import FactKind, VersionStatus
from registry.models import Alias, BackendState, Finding, Model, Version
from registry.services.aliases import note_alias_moves
from registry.services.facts import facts_note, versions_gone
from registry.services.outside_edits import note_deleted, note_edits
from registry.services.renames import find_renames, model_renamed, unbind_name
from registry.services.tags import note_tag
from registry.version_lifecycle import LIFECYCLE_TAG

log = structlog.get_logger(__name__)

LEASE_S = 60
IDENTITY_FIELDS = ("created_at", "run_id", "source")
VERSION_FIELDS = (*IDENTITY_FIELDS, "status", "status_message", "description", "tags", "updated_at")
VERSION_REMADE = "version_remade"
MODEL_REMADE = "model_remade"

type_Evidence = dict[int, dict[str, Any]]


class LeaseLost(Exception):
    """Another sync has taken over; this one must not write any more."""


def lease_take(now: datetime) -> int | None:
    """The epoch of the sync lease, or None when another sync has it."""
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    taken = BackendState.objects.filter(free, pk=1).update(
        lease_until=now + timedelta(seconds=LEASE_S), lease_epoch=F("lease_epoch") + 1
    )
    return BackendState.objects.values_list("lease_epoch", flat=True).get(pk=1) if taken else None


def lease_release(epoch: int) -> None:
    """Give the lease back, unless somebody took it over meanwhile."""
    BackendState.objects.filter(pk=1, lease_epoch=epoch).update(lease_until=None)


def lease_break() -> None:
    """Let a sync that is under way write nothing more: what it read is about to be changed. Belongs into the
    transaction of that change.
    """
    BackendState.objects.filter(pk=1).update(lease_epoch=F("lease_epoch") + 1, lease_until=None)


def _lease_renew(epoch: int) -> None:
    """Keep the lease for longer; a first sync of a large registry takes minutes. Raises LeaseLost."""
    until = clock.now() + timedelta(seconds=LEASE_S)
    if not BackendState.objects.filter(pk=1, lease_epoch=epoch).update(lease_until=until):
        raise LeaseLost


@dataclass(frozen=True)
class _Known:
    """Our rows in a form that compares with what was seen, read in a constant number of queries."""

    models: dict[str, dict[str, Any]]
    versions: dict[str, dict[int, dict[str, Any]]]
    aliases: dict[str, dict[str, int]]

    def is_same(self, seen: SeenModel, versions: list[SeenVersion]) -> bool:
        """Whether our rows already say what was seen of a model."""
        mirrored = {version.number: _values_of(version) for version in versions}
        ours = self.versions.get(seen.name, {})
        present = {number: row for number, row in ours.items() if row["status"] != VersionStatus.DELETED}
        return (
            self.models.get(seen.name) == _model_values(seen)
            and present == mirrored
            and self.aliases.get(seen.name, {}) == seen.aliases
        )

    def needs_evidence(self, version: SeenVersion) -> bool:
        row = self.versions.get(version.model, {}).get(version.number)
        return row is None or any(row[name] != getattr(version, name) for name in ("updated_at", *IDENTITY_FIELDS))


def _values_of(version: SeenVersion) -> dict[str, Any]:
    return {name: getattr(version, name) for name in VERSION_FIELDS}


def _model_values(seen: SeenModel) -> dict[str, Any]:
    seen_values = {name: getattr(seen, name) for name in ("description", "tags", "created_at", "updated_at")}
    return {**seen_values, "deleted_at": None}


def _read_known() -> _Known:
    fields = ("description", "tags", "created_at", "updated_at", "deleted_at")
    models = {row.pop("name"): row for row in Model.objects.values("name", *fields)}
    versions: dict[str, dict[int, dict[str, Any]]] = {}
    present = Version.objects.filter(superseded_at=None).order_by()
    for row in present.values("model__name", "number", *VERSION_FIELDS):
        versions.setdefault(row.pop("model__name"), {})[row.pop("number")] = row
    aliases: dict[str, dict[str, int]] = {}
    for model, name, number in Alias.objects.values_list("model__name", "name", "version_number"):
        aliases.setdefault(model, {})[name] = number
    return _Known(models, versions, aliases)


def sync_from_backend(backend: Backend, *, epoch: int, now: datetime) -> int:
    """Read the registry and mirror it; return how many models changed. Raises BackendDown.

    `now` is the moment before the first look. Each model is written by itself, so that a large first sync makes
    progress; nothing is written once the lease was taken over.
    """
    seen_models = backend.models()
    by_model: dict[str, list[SeenVersion]] = {model.name: [] for model in seen_models}
    for version in backend.versions():
        by_model.setdefault(version.model, []).append(version)
    changed = 0
    try:
        changed += _follow_renames(seen_models, by_model, epoch, now)
        known = _read_known()
        for seen in seen_models:
            versions = by_model[seen.name]
            if known.is_same(seen, versions):
                continue
            evidence = _evidence(backend, [v for v in versions if known.needs_evidence(v)], epoch)
            with transaction.atomic():
                _lease_renew(epoch)
                changed += _mirror_model(seen, versions, evidence, now)
        gone = [name for name, row in known.models.items() if row["deleted_at"] is None and name not in by_model]
        _mirror_gone(gone, epoch, now)
        _backend_works(epoch, now)
    except LeaseLost:
        log.info("sync.lease_lost", epoch=epoch)
    return changed


def _evidence(backend: Backend, versions: list[SeenVersion], epoch: int) -> type_Evidence:
    """Number → evidence. A version whose run cannot be read has none; it must not stop the mirror."""
    evidence: type_Evidence = {}
    for version in versions:
        _lease_renew(epoch)
        try:
            evidence[version.number] = backend.evidence(version).values
        except BackendRefused as error:
            log.warning("evidence.refused", model=version.model, version=version.number, error=str(error)[:200])
    return evidence


def _mirror_model(seen: SeenModel, versions: list[SeenVersion], evidence: type_Evidence, now: datetime) -> bool:
    values = _model_values(seen)
    model, created = Model.objects.get_or_create(name=seen.name, defaults=values)
    changed = created or any(getattr(model, name) != value for name, value in values.items())
    if model.created_at != seen.created_at:
        _note_remade(model, now)
    if model.deleted_at is not None:
        facts_note(model, {FactKind.DELETED: ""})
    if changed and not created:
        Model.objects.filter(pk=model.pk).update(**values)
    if created:
        known = {FactKind.NAME: model.name, FactKind.OWNER: model.owner, FactKind.RISK_TIER: model.risk_tier}
        facts_note(model, known)
        audit_record(MIRROR, "model.mirrored", audit_subjects.of_model(model))
        unbind_name(model.name)
    changed |= _mirror_versions(model, versions, evidence, now)
    note_alias_moves(actor=MIRROR, model=model, seen=seen.aliases, now=now)
    if changed:
        publish("registry", "model.changed", {"model": model.name})
    return bool(changed)


def _mirror_versions(model: Model, seen: list[SeenVersion], evidence: type_Evidence, now: datetime) -> bool:
    present = model.versions.select_for_update(of=("self",)).select_related("model").filter(superseded_at=None)
    known = {version.number: version for version in present}
    edited, gone = [], []
    changed = False
    for version in seen:
        row = known.get(version.number)
        if row is not None and all(getattr(row, name) == value for name, value in _values_of(version).items()):
            continue
        changed = True
        if row is not None and row.identity != version.identity:
            _supersede(row, now)
            row = None
        if row is not None:
            edited.append((row, version.description, version.tags))
        _mirror_version(model, row, version, evidence.get(version.number, {}), now)
    numbers = {version.number for version in seen}
    for number, row in known.items():
        if number not in numbers and row.status != VersionStatus.DELETED:
            changed = True
            Version.objects.filter(pk=row.pk).update(status=VersionStatus.DELETED, digest_due_at=None)
            versions_gone([row])
            audit_record(MIRROR, "version.deleted_outside", audit_subjects.of_version(row))
            gone.append(row)
    note_edits(edited, now)
    note_deleted(gone, now)
    return changed


def _note_remade(model: Model, now: datetime) -> None:
    """A model was deleted and another registered under its name: its endpoints stay, its versions are new ones."""
    summary = f"{model} was deleted in MLflow and registered again. No approval given before covers its versions now."
    data = {"created_at": model.created_at.isoformat()}
    Finding.objects.create(model=model, kind=MODEL_REMADE, summary=summary, data=data, found_at=now)
    audit_record(MIRROR, "model.remade_outside", audit_subjects.of_model(model), data=data)


def _supersede(row: Version, now: datetime) -> None:
    """The number of a version belongs to another one now; what hangs on this row stays with it."""
    if row.status != VersionStatus.DELETED:
        versions_gone([row])
    gone = {"status": VersionStatus.DELETED, "digest_due_at": None, "superseded_at": clock.now()}
    Version.objects.filter(pk=row.pk).update(**gone)
    summary = f"{row} was deleted in MLflow and another version was registered under its number."
    data = {"version": row.number, "digest": row.digest, "run_id": row.run_id, "source": row.source}
    Finding.objects.create(model=row.model, kind=VERSION_REMADE, summary=summary, data=data, found_at=now)
    audit_record(MIRROR, "version.remade_outside", audit_subjects.of_version(row), data=data)


def _mirror_version(model: Model, row: Version | None, seen: SeenVersion, found: dict[str, Any], now: datetime) -> None:
    before = row.evidence if row else {}
    # A name that MLflow said once stays: who made a version must not come to decide on it by an edit.
    authors = list(dict.fromkeys([*before.get("authors", []), *found.get("authors", [])]))
    values = {**_values_of(seen), "evidence": {**before, **found, **({"authors": authors} if authors else {})}}
    if row is None:
        due_at = now if seen.status == VersionStatus.READY else None
        row = Version.objects.create(model=model, number=seen.number, digest_due_at=due_at, **values)
        facts_note(model, {FactKind.STATUS: seen.status}, version=row)
        audit_record(MIRROR, "version.mirrored", audit_subjects.of_version(row), data={"status": seen.status})
        note_tag(actor=MIRROR, version=row, key=LIFECYCLE_TAG, seen=seen.tags.get(LIFECYCLE_TAG, ""), now=now)
        return
    if row.status != seen.status:
        facts_note(model, {FactKind.STATUS: seen.status}, version=row)
    if row.status != seen.status and seen.status == VersionStatus.READY:
        values["digest_due_at"] = now
    Version.objects.filter(pk=row.pk).update(**values)
    note_tag(actor=MIRROR, version=row, key=LIFECYCLE_TAG, seen=seen.tags.get(LIFECYCLE_TAG, ""), now=now)


@transaction.atomic
def _mirror_gone(names: list[str], epoch: int, now: datetime) -> None:
    _lease_renew(epoch)
    for model in Model.objects.filter(deleted_at=None, name__in=names):
        _mark_gone(model, now)


def _mark_gone(model: Model, now: datetime) -> None:
    Model.objects.filter(pk=model.pk).update(deleted_at=now)
    facts_note(model, {FactKind.DELETED: "yes"})
    for alias in Alias.objects.filter(model=model):
        facts_note(model, {FactKind.ALIAS: ""}, key=alias.name)
    gone = list(Version.objects.filter(model=model).exclude(status=VersionStatus.DELETED).select_related("model"))
    versions_gone(gone)
    note_deleted(gone, now)
    Version.objects.filter(model=model).update(status=VersionStatus.DELETED, digest_due_at=None)
    Alias.objects.filter(model=model).delete()
    audit_record(MIRROR, "model.deleted_outside", audit_subjects.of_model(model))
    publish("registry", "model.changed", {"model": model.name})


@transaction.atomic
def _follow_renames(seen: list[SeenModel], versions: dict[str, list[SeenVersion]], epoch: int, now: datetime) -> int:
    """Give our rows the names that their models have now; return how many. All at once: names may have been swapped."""
    renames = find_renames(seen, versions)
    if not renames:
        return 0
    _lease_renew(epoch)
    for model in renames:
        Model.objects.filter(pk=model.pk).update(name=f"{model.name[:200]}~renamed-{model.pk}")
    for holder in Model.objects.filter(name__in=renames.values()):
        # The model that had the name is gone: it would be among the renamed ones otherwise.
        if holder.deleted_at is None:
            _mark_gone(holder, now)
        Model.objects.filter(pk=holder.pk).update(name=f"{holder.name[:200]}~deleted-{holder.pk}")
    for model, name in renames.items():
        model_renamed(model=model, name=name, now=now)
    return len(renames)


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
    fails = {"reachable": False, "checked_at": now, "error": error[:500], "webhook_due_at": None}
    if BackendState.objects.filter(pk=1, lease_epoch=epoch).update(**fails) and before.reachable:
        publish("registry", "backend.changed", {"reachable": False})
