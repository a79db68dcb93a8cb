"""Digests of versions: wanted, computed, failed, and found changed."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import transaction

from dataplane.wire.digest import ManifestEntry
from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.live.outbox import publish
from registry import audit_subjects
from registry.artifacts import MANIFEST_KEPT_MAX
from registry.cards.selectors import README
from registry.lifecycle import DigestStatus, FactKind
from registry.models import Finding, Version
from registry.selectors import is_stored
from registry.services.artifact_sets import artifact_set_take_in
from registry.services.facts import facts_note

RETRY_S = 15
REFUSED_RETRY_S = 900
DIGEST_FIELDS = [
    "digest",
    "digest_status",
    "digest_error",
    "digest_due_at",
    "digest_looked_at",
    "manifest",
    "size_bytes",
    "signature",
    "evidence",
]
ARTIFACTS_CHANGED = "artifacts_changed"


def digest_want(*, version: Version, now: datetime) -> None:
    """Want the artifacts of a version looked at (again): the work queue downloads them and computes their digest."""
    Version.objects.filter(pk=version.pk).update(digest_due_at=now)


def digest_recheck(*, version: Version, since: datetime, now: datetime) -> str:
    """Why it is not known yet whether MLflow still has what was approved at `since`, empty once it was looked at after
    that.

    The first call orders the look; until it is done the caller waits with the sentence. A change it finds shows as
    another digest.
    """
    if version.digest_looked_at is not None and version.digest_looked_at >= since:
        return ""
    Version.objects.filter(pk=version.pk, digest_due_at=None).update(digest_due_at=now)
    return f"Waits for a last look at the artifacts of {version}." + (
        f" {version.digest_error}" if version.digest_error else ""
    )


@dataclass(frozen=True)
class TakenIn:
    """A sealed download in `folder`: its digest and manifest, and what the files say."""

    folder: Path
    digest: str
    entries: list[ManifestEntry]
    facts: dict[str, Any]
    signature: Any


@transaction.atomic
def version_digested(*, actor: Actor, version: Version, taken: TakenIn, looked_at: datetime) -> Version:
    """Note the digest of a version with what its files say, and move them into the store; `looked_at` is when reading
    them began.

    Another digest than before is a finding: the artifacts were changed.

    Approvals are bound to the digest, so those given for the old one do not hold any more.
    """
    now, digest = clock.now(), taken.digest
    artifact_set_take_in(digest=digest, folder=taken.folder, entries=taken.entries, facts=taken.facts, now=now)
    row = Version.objects.select_for_update().select_related("model").get(pk=version.pk)
    before = row.digest
    row.digest, row.digest_status, row.digest_error, row.digest_due_at = digest, DigestStatus.COMPUTED, "", None
    row.digest_looked_at = looked_at
    row.manifest = [[entry.path, entry.size, entry.sha256] for entry in taken.entries[:MANIFEST_KEPT_MAX]]
    row.size_bytes = sum(entry.size for entry in taken.entries)
    known = row.evidence if before in ("", digest) else {k: v for k, v in row.evidence.items() if k != "profile"}
    said = {key: value for key, value in taken.facts.items() if key != README}  # lists read the evidence
    row.signature, row.evidence = taken.signature, {**known, **said}
    row.save(update_fields=DIGEST_FIELDS)
    if before == digest:
        return row
    facts_note(row.model, {FactKind.DIGEST: digest}, version=row)
    data = {"before": before, "after": digest}
    audit_record(
        actor, "version.artifacts_changed" if before else "version.digested", audit_subjects.of_version(row), data=data
    )
    if before:
        summary = f"The artifacts of {row} were changed outside mlorch after they had been looked at."
        Finding.objects.create(model=row.model, kind=ARTIFACTS_CHANGED, summary=summary, data=data, found_at=now)
    publish("registry", "version.changed", {"model": row.model.name, "version": row.number})
    return row


def artifacts_fetch(*, version: Version, now: datetime) -> str:
    """Why the version's files cannot be looked at yet, empty when they are in the store: those that were let go are
    fetched from MLflow again. Asking twice is harmless.
    """
    if is_stored(version.digest):
        return ""
    Version.objects.filter(pk=version.pk, digest_due_at=None).update(digest_due_at=now)
    return f"Waits until the artifacts of {version} are fetched from MLflow again." + (
        f" {version.digest_error}" if version.digest_error else ""
    )


@transaction.atomic
def version_profile_seen(*, version: Version, digest: str, profile: dict[str, Any]) -> None:
    """Keep with the evidence how a worker found that these files answer. An observation: nobody did anything.

    What was found of other files, or is known already, changes nothing.
    """
    row = Version.objects.select_for_update().select_related("model").get(pk=version.pk)
    if row.digest != digest or row.evidence.get("profile") == profile:
        return
    row.evidence = {**row.evidence, "profile": profile}
    row.save(update_fields=["evidence"])
    publish("registry", "version.changed", {"model": row.model.name, "version": row.number})


def digest_waits(*, version: Version, reason: str, now: datetime) -> None:
    """Note that the registry does not answer: the digest stays pending, and what needs it waits with the reason."""
    due_at = now + timedelta(seconds=RETRY_S)
    Version.objects.filter(pk=version.pk).update(digest_error=reason[:500], digest_due_at=due_at)


@transaction.atomic
def digest_failed(*, actor: Actor, version: Version, error: str, now: datetime) -> None:
    """Note why the artifacts cannot be taken; they are tried again, but seldom. A digest known before stays."""
    due_at = now + timedelta(seconds=REFUSED_RETRY_S)
    Version.objects.filter(pk=version.pk).update(digest_error=error[:500], digest_due_at=due_at)
    fresh = Version.objects.filter(pk=version.pk, digest="", digest_status=DigestStatus.PENDING)
    if fresh.update(digest_status=DigestStatus.FAILED):
        audit_record(actor, "version.digest_failed", audit_subjects.of_version(version), reason=error[:500])
        publish("registry", "version.changed", {"model": version.model.name, "version": version.number})
