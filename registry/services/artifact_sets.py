"""Artifact sets: taken into the store, held for a release, and let go when nothing needs them any more.

Every decision about a set is made with its row locked, so that nobody begins to need what is leaving.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import transaction

from dataplane.wire.digest import ManifestEntry
from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.services import Subject, audit_record
from registry import artifacts
from registry.models import ArtifactSet, StoreState
from registry.retention import Keeping, Leaving, StoredSet, leaving, rules_in_force

LET_GO_PER_SWEEP = 500  # one record lists them
PROBLEMS_KEPT = 20
ROWS_AT_ONCE = 500
STORE = Subject("artifact_store", "store", "artifact store")


@dataclass(frozen=True)
class Sweep:
    """What a sweep let go, or would; `kept` sets with `kept_bytes` stay. `problems` are sentences for people."""

    gone: list[Leaving]
    kept: int
    kept_bytes: int
    problems: list[str]


def artifact_set_take_in(
    *, digest: str, folder: Path, entries: list[ManifestEntry], facts: dict[str, Any], now: datetime
) -> None:
    """Move a sealed download into the store; it is new, there already, or comes back. Belongs into the transaction of
    the act.
    """
    size = sum(entry.size for entry in entries)
    ArtifactSet.objects.get_or_create(digest=digest, defaults={"facts": facts, "taken_in_at": now})
    ArtifactSet.objects.select_for_update().get(pk=digest)
    artifacts.take_in(folder, digest)
    ArtifactSet.objects.filter(pk=digest).update(size_bytes=size, needed_at=now, let_go_at=None)


def artifact_set_hold(*, digest: str, now: datetime) -> bool:
    """Keep a set in the store for what is being written in the same transaction; whether it is there.

    The caller's own row must name the digest, so that the next sweep sees who needs it.
    """
    row = ArtifactSet.objects.select_for_update().filter(pk=digest, let_go_at=None).first()
    if row is None or not artifacts.path_of(digest).is_dir():
        return False
    ArtifactSet.objects.filter(pk=digest).update(needed_at=now)
    return True


def artifact_sets_plan(*, needed: set[str], kept: Collection[str] = (), now: datetime) -> Sweep:
    """What a sweep would let go now, without what is needed and what a policy has `kept`; nothing is written."""
    rows = ArtifactSet.objects.filter(let_go_at=None).values_list("digest", "size_bytes", "needed_at")
    stored = [StoredSet(digest, size, needed_at or now) for digest, size, needed_at in rows]
    on_disk = [one for one in stored if artifacts.is_ours(one.digest)]
    gone = leaving(on_disk, needed | set(kept), rules_in_force(), now)[:LET_GO_PER_SWEEP]
    going = {one.stored.digest for one in gone}
    sizes = [one.size_bytes for one in on_disk if one.digest not in going]
    return Sweep(gone, len(sizes), sum(sizes), artifacts.strangers({one.digest for one in stored}))


def artifact_sets_sweep(
    *,
    actor: Actor,
    needed: Callable[[], set[str]],
    kept: Callable[[], Mapping[str, Keeping]] = dict,
    now: datetime,
) -> Sweep:
    """Let go of the sets that nothing needs, with one record that lists them, then delete their files.

    `needed` reads the digests that something needs now, `kept` those that a policy keeps although nothing does; both
    are asked again with the rows locked, in this order: what stops serving meanwhile is in one of them. Sweeping twice
    or together is harmless, and one that died is gone on with by the next: files leave only after their record.
    """
    _note_needs(needed(), now)
    _measure()
    wanted, keepings = needed(), kept()
    _note_kept(keepings)
    plan = artifact_sets_plan(needed=wanted, kept=keepings, now=now)
    gone = _let_go(actor, plan.gone, lambda: needed() | set(kept()), now) if plan.gone else []
    _put_away()
    problems = [*artifacts.empty_trash(now), *plan.problems]
    values = {"swept_at": now, "problems": [problem[:200] for problem in problems[:PROBLEMS_KEPT]]}
    StoreState.objects.update_or_create(pk=1, defaults=values)
    return Sweep(gone, plan.kept, plan.kept_bytes, problems)


@transaction.atomic
def _note_needs(needed: set[str], now: datetime) -> None:
    """Write down that the needed sets are needed; of one that no sweep has seen yet the time begins now."""
    rows = ArtifactSet.objects.select_for_update().filter(let_go_at=None).order_by("digest")
    seen = [digest for digest, at in rows.values_list("digest", "needed_at") if at is None or digest in needed]
    for first in range(0, len(seen), ROWS_AT_ONCE):
        ArtifactSet.objects.filter(pk__in=seen[first : first + ROWS_AT_ONCE]).update(needed_at=now)


def _note_kept(keepings: Mapping[str, Keeping]) -> None:
    """Write down until when policies keep what."""
    known = {row.pk: row for row in ArtifactSet.objects.filter(pk__in=keepings)}
    for digest, row in known.items():
        keeping = keepings[digest]
        if (row.kept_until, row.kept_by_id) != (keeping.until, keeping.policy_id):
            ArtifactSet.objects.filter(pk=digest).update(kept_until=keeping.until, kept_by=keeping.policy_id)
    ArtifactSet.objects.filter(kept_until__isnull=False).exclude(pk__in=keepings).update(kept_until=None, kept_by=None)


def _measure() -> None:
    for row in ArtifactSet.objects.filter(let_go_at=None, size_bytes=0):
        if size := artifacts.size_of(row.digest):
            ArtifactSet.objects.filter(pk=row.pk).update(size_bytes=size)


@transaction.atomic
def _let_go(actor: Actor, chosen: list[Leaving], needed: Callable[[], set[str]], now: datetime) -> list[Leaving]:
    """Mark what was chosen, unless somebody came to need it meanwhile."""
    wanted = {one.stored.digest: one.stored.needed_at for one in chosen}
    locked = ArtifactSet.objects.select_for_update().filter(pk__in=wanted, let_go_at=None).order_by("digest")
    same = {row.digest for row in locked if row.needed_at == wanted[row.digest]} - needed()
    gone = [one for one in chosen if one.stored.digest in same]
    if not gone:
        return []
    ArtifactSet.objects.filter(pk__in=same).update(let_go_at=now)
    size = sum(one.stored.size_bytes for one in gone)
    data = {"sets": [one.to_dict() for one in gone], "size_bytes": size}
    audit_record(actor, "artifacts.let_go", STORE, data=data)
    return gone


def _put_away() -> None:
    """Take the files of every marked set out of the store, also those that an earlier sweep did not come to."""
    for digest in ArtifactSet.objects.exclude(let_go_at=None).values_list("digest", flat=True):
        if artifacts.is_ours(digest):
            _put_away_one(digest)


@transaction.atomic
def _put_away_one(digest: str) -> None:
    """With the row locked: a set that is taken in again at this moment stays."""
    if ArtifactSet.objects.select_for_update().filter(pk=digest).exclude(let_go_at=None).exists():
        artifacts.put_away(digest)
