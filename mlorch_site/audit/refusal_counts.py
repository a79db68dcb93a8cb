"""Refusals that a program repeats without end: one record of each kind in a span of time, which says how many there
were.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.models import RefusalCount
from mlorch_site.audit.services import LABEL_MAX_CHARS, refusal_note
from mlorch_site.lib import clock
from mlorch_site.lib.hashing import canonical_json, sha256_hex
from mlorch_site.lib.readable import is_text

REFUSALS_NOTED_EVERY = timedelta(minutes=5)
ADDRESSES_MAX = 1000  # so many kinds of refusals of one actor are told apart; further addresses count together
ELSEWHERE = "elsewhere"
TOLD_AT_ONCE = 100
UNREADABLE = "(not readable)"
NEVER = datetime.fromtimestamp(0, UTC)


@transaction.atomic
def refusal_count(*, actor: Actor, route: str, path: str, reason: str) -> None:
    """Count a refusal by who, from where and why. The first of a span of `REFUSALS_NOTED_EVERY` is recorded with how
    many there were since the last record; the others wait for the next one.
    """
    now = clock.now()
    row = _row_of(actor, reason)
    row.route, row.path = route[:64], _shown(path)
    row.unnoted += 1
    if is_over(row, now):
        _note(row, now)
    row.save()


def is_over(row: RefusalCount, now: datetime) -> bool:
    """Whether the span of the last record is over."""
    return now - row.noted_at >= REFUSALS_NOTED_EVERY


def _row_of(actor: Actor, reason: str) -> RefusalCount:
    """The locked row of this kind of refusal; a new one is due at once."""
    mine = RefusalCount.objects.filter(actor_kind=actor.kind, actor=actor.name)
    if not mine.filter(key=_key(actor, reason)).exists() and mine.count() >= ADDRESSES_MAX:
        actor = replace(actor, address=ELSEWHERE)
    key = _key(actor, reason)
    who = {"actor_kind": actor.kind, "actor": actor.name, "address": actor.address}
    values: dict[str, Any] = {**who, "reason": reason, "noted_at": NEVER}
    RefusalCount.objects.get_or_create(key=key, defaults=values)
    # The one that was there may have been forgotten between the two.
    return RefusalCount.objects.select_for_update().filter(key=key).first() or RefusalCount(key=key, **values)


def _key(actor: Actor, reason: str) -> str:
    return sha256_hex(canonical_json([actor.kind, actor.name, actor.address, reason]))


def _shown(path: str) -> str:
    """A client's own text, as a record can keep it."""
    return path[:LABEL_MAX_CHARS] if is_text(path) else UNREADABLE


def _note(row: RefusalCount, now: datetime) -> None:
    """Record what was counted, unless the actor has too many records in this minute: then it goes on being counted."""
    actor = Actor(kind=row.actor_kind, name=row.actor, address=row.address)
    data = {"times": row.unnoted}
    if refusal_note(actor=actor, route=row.route, path=row.path, reason=row.reason, data=data) is not None:
        row.noted_at, row.unnoted = now, 0


def _past(now: datetime) -> QuerySet[RefusalCount]:
    return RefusalCount.objects.filter(noted_at__lte=now - REFUSALS_NOTED_EVERY)


def is_waiting() -> bool:
    """Whether the span of any count is over."""
    return _past(clock.now()).exists()


def refusals_tell() -> None:
    """Record what was counted in spans that are over, and forget the counts of those who stopped. Running it twice or
    at once is harmless.
    """
    for key in _past(clock.now()).values_list("key", flat=True)[:TOLD_AT_ONCE]:
        _tell(key)


@transaction.atomic
def _tell(key: str) -> None:
    now = clock.now()
    row = RefusalCount.objects.select_for_update().filter(key=key).first()
    if row is None or not is_over(row, now):
        return
    if not row.unnoted:
        row.delete()
        return
    _note(row, now)
    row.save()
