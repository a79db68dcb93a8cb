"""How many requests releases got while they rolled out, in steps, for many releases in one query."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, Sum

from monitoring.history import total_width
from monitoring.models import Window
from monitoring.spans import Span

ARMS = ("candidate", "targeted")  # what a release answers clients by while it rolls out


@dataclass(frozen=True)
class RolledOut:
    """Where and when a release rolled out; `release` is its id as windows carry it."""

    environment: str
    endpoint: str
    release: str
    since: datetime
    until: datetime


def release_rates(places: Iterable[RolledOut], now: datetime) -> dict[str, list[float | None]]:
    """The requests per second that each release answered, by step of its rollout. Left out are releases of which no
    roll-up is kept; the newest seconds, which are not rolled up yet, are in none.
    """
    widths = {place.release: (place, total_width(Span(place.since, place.until), now)) for place in places}
    if not widths:
        return {}
    wanted = Q()
    for place, width in widths.values():
        since = Span(place.since, place.until).aligned(width).since
        wanted |= Q(
            environment=place.environment,
            endpoint=place.endpoint,
            release=place.release,
            seconds=width,
            start__gte=since,
            start__lt=place.until,
        )
    sums: dict[str, dict[int, int]] = defaultdict(dict)
    rows = Window.objects.filter(wanted, arm__in=ARMS).values_list("release", "start").annotate(total=Sum("requests"))
    for release, start, total in rows.order_by():
        sums[release][int(start.timestamp())] = total
    return {release: _steps(sums[release], *widths[release]) for release in sums}


def _steps(sums: dict[int, int], place: RolledOut, width: int) -> list[float | None]:
    """From the begin of the rollout to the last step that is known."""
    since = int(place.since.timestamp()) // width * width
    return [sums.get(start, 0) / width for start in range(since, max(sums) + 1, width)]
