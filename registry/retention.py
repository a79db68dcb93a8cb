"""Which artifact sets leave the store: those that nothing needs, after a time, and sooner where room is short."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

FRESH = timedelta(hours=1)  # what was needed this lately stays, however little room there is
UNNEEDED, ROOM = "unneeded", "room"


@dataclass(frozen=True)
class Rules:
    """How long a set stays after its last need, and how many bytes the store may hold (0: any)."""

    kept: timedelta
    max_bytes: int


@dataclass(frozen=True)
class Keeping:
    """Until when a policy keeps files that served, and the key of the revision that says so."""

    until: datetime
    policy_id: int


@dataclass(frozen=True)
class StoredSet:
    """One set in the store."""

    digest: str
    size_bytes: int
    needed_at: datetime


@dataclass(frozen=True)
class Leaving:
    """A set that is to go, and why: nothing needs it any more, or the room is short."""

    stored: StoredSet
    why: str

    def to_dict(self) -> dict[str, Any]:
        stored = self.stored
        last = stored.needed_at.isoformat()
        return {"digest": stored.digest, "size_bytes": stored.size_bytes, "needed_at": last, "why": self.why}


def rules_in_force() -> Rules:
    """The rules of this installation."""
    return Rules(timedelta(days=settings.ARTIFACTS_KEPT_DAYS), settings.ARTIFACTS_MAX_GIB * 1024**3)


def leaving(stored: Iterable[StoredSet], needed: set[str], rules: Rules, now: datetime) -> list[Leaving]:
    """Of all stored sets those that go, oldest need first; never one that is needed."""
    everything = sorted(stored, key=lambda one: one.needed_at)
    left_bytes = sum(one.size_bytes for one in everything)
    found = []
    for one in everything:
        if one.digest in needed:
            continue
        is_over = rules.max_bytes > 0 and left_bytes > rules.max_bytes and now - one.needed_at > FRESH
        if now - one.needed_at > rules.kept or is_over:
            found.append(Leaving(one, ROOM if now - one.needed_at <= rules.kept else UNNEEDED))
            left_bytes -= one.size_bytes
    return found
