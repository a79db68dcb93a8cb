"""One throttle for all sign-ins: attempts are counted by name and by network, in the database that all processes share.

An attempt counts before it is looked at, so that many at once are no way around; one that succeeds is given back.
"""

import unicodedata
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from mlorch_site.accounts.models import AttemptCount
from mlorch_site.lib.errors import TooMany
from mlorch_site.lib.hashing import sha256_hex
from mlorch_site.lib.peer import network_of

PER_NAME_MAX = 10
PER_NETWORK_MAX = 50
SPAN = timedelta(minutes=15)
FORGOTTEN_AT_ONCE = 100


def name_key(name: str) -> str:
    """What attempts for a name are counted under; the name, which may be a mistyped password, is not kept."""
    return f"name:{sha256_hex(unicodedata.normalize('NFKC', name).casefold().encode(errors='replace'))}"


def network_key(address: str) -> str:
    """What attempts from an address are counted under."""
    return f"network:{network_of(address)}"


def attempt_count(*, name: str, address: str, now: datetime) -> None:
    """Count an attempt. Raises TooMany when there were too many for the name or from the network."""
    limits = {network_key(address): PER_NETWORK_MAX}
    if name:
        limits[name_key(name)] = PER_NAME_MAX
    wait = max(_count(key, limit, now) for key, limit in sorted(limits.items()))
    if wait > timedelta(0):
        seconds = int(wait.total_seconds()) + 1
        raise TooMany(
            f"Too many failed attempts. Wait {-(-seconds // 60)} minutes, then try again.", retry_after_s=seconds
        )


@transaction.atomic
def _count(key: str, limit: int, now: datetime) -> timedelta:
    """Add one to a count that began less than the span ago, else to a new one; how long to wait when it is too high."""
    _forget_ended(now)
    AttemptCount.objects.get_or_create(key=key, defaults={"since": now})
    row = AttemptCount.objects.select_for_update().filter(key=key).first()
    if row is None:  # its span ended between the two
        return timedelta(0)
    if row.since <= now - SPAN:
        row.since, row.attempts = now, 0
    if row.attempts >= limit:
        return row.since + SPAN - now
    AttemptCount.objects.filter(key=key).update(since=row.since, attempts=row.attempts + 1)
    return timedelta(0)


def _forget_ended(now: datetime) -> None:
    """Delete some counts whose span is over; those that somebody looks at are left, so that nobody waits."""
    ended = AttemptCount.objects.select_for_update(skip_locked=True).filter(since__lte=now - SPAN)
    AttemptCount.objects.filter(pk__in=list(ended.values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE])).delete()


@transaction.atomic
def attempt_forgive(*, name: str, address: str) -> None:
    """Give an attempt that succeeded back: nothing counts for the name, and it not for the network."""
    AttemptCount.objects.filter(key=name_key(name)).delete()
    AttemptCount.objects.filter(key=network_key(address), attempts__gt=0).update(attempts=F("attempts") - 1)
