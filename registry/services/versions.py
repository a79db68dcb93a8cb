"""Digests of versions: wanted, computed, failed, and found changed."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from mlorch_site import audit
from mlorch_site.accounts.actor import Actor
from mlorch_site.lib import clock
from mlorch_site.live.outbox import publish
from registry import subjects
from registry.artifacts import MANIFEST_KEPT_MAX, Entry
from registry.lifecycle import DigestStatus
from registry.models import Finding, Version

RETRY_S = 30
ARTIFACTS_CHANGED = "artifacts_changed"


def digest_want(*, version: Version, now: datetime) -> None:
    """Want the artifacts of a version looked at (again): the work queue downloads them and computes their digest."""
    Version.objects.filter(pk=version.pk).update(digest_due_at=now)


@transaction.atomic
def version_digested(
    *, actor: Actor, version: Version, digest: str, entries: list[Entry], facts: dict[str, Any], signature: Any
) -> Version:
    """Note the digest of a version with what its files say. Another digest than before is a finding: the artifacts were changed.

    Approvals are bound to the digest, so those given for the old one do not hold any more.
    """
    now = clock.now()
    row = Version.objects.select_for_update().select_related("model").get(pk=version.pk)
    before = row.digest
    row.digest, row.digest_status, row.digest_error, row.digest_due_at = digest, DigestStatus.COMPUTED, "", None
    row.manifest = [[entry.path, entry.size, entry.sha256] for entry in entries[:MANIFEST_KEPT_MAX]]
    row.size_bytes = sum(entry.size for entry in entries)
    row.signature, row.evidence = signature, {**row.evidence, **facts}
    row.save()
    if before == digest:
        return row
    data = {"before": before, "after": digest}
    audit.record(
        actor, "version.artifacts_changed" if before else "version.digested", subjects.of_version(row), data=data
    )
    if before:
        summary = f"The artifacts of {row} were changed outside mlorch after they had been looked at."
        Finding.objects.create(model=row.model, kind=ARTIFACTS_CHANGED, summary=summary, data=data, found_at=now)
    publish("registry", "version.changed", {"model": row.model.name, "version": row.number})
    return row


def digest_failed(*, version: Version, error: str, now: datetime) -> None:
    """Note why the digest could not be computed; it is tried again later. A digest known before stays."""
    due_at = now + timedelta(seconds=RETRY_S)
    Version.objects.filter(pk=version.pk).update(digest_error=error[:500], digest_due_at=due_at)
    Version.objects.filter(pk=version.pk, digest="").update(digest_status=DigestStatus.FAILED)
