"""Roll windows up exactly, and let old ones go, by rule."""

from collections import defaultdict
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from mlorch_site.lib import clock
from mlorch_site.live.models import Event
from monitoring.models import Window
from monitoring.telemetry.histogram import merged

# width of a roll-up in seconds → width of what it is made of
TIERS = {10: 1, 60: 10, 600: 60}
KEPT = {1: timedelta(hours=2), 10: timedelta(hours=24), 60: timedelta(days=30), 600: timedelta(days=400)}
LATE = timedelta(minutes=5)  # windows may arrive this late and are still rolled up
EVENTS_KEPT = timedelta(hours=24)
NEWS_KEPT = timedelta(minutes=10)  # "windows.stored" comes every second and says little
DELETE_BATCH = 5000
SUMS = ("requests", "ok", "client_errors", "server_errors", "timeouts", "rejected", "drawn")

type_Key = tuple[str, str, str, int, str, datetime]


def windows_roll_up(*, now: datetime) -> int:
    """Make the roll-ups of the last minutes anew from finer windows; return how many were written. Twice gives the same."""
    written = 0
    for width, source in TIERS.items():
        until = _floor(now, width)
        since = _floor(now - LATE - timedelta(seconds=width), width)
        written += _roll_up(width, source, since, until)
    return written


def _floor(moment: datetime, width: int) -> datetime:
    return clock.from_unix(int(moment.timestamp()) // width * width)


@transaction.atomic
def _roll_up(width: int, source: int, since: datetime, until: datetime) -> int:
    groups: dict[type_Key, list[Window]] = defaultdict(list)
    for window in Window.objects.filter(seconds=source, start__gte=since, start__lt=until):
        start = _floor(window.start, width)
        key = (window.environment, window.endpoint, window.arm, window.version, window.release, start)
        groups[key].append(window)
    Window.objects.filter(seconds=width, start__gte=since, start__lt=until).delete()
    Window.objects.bulk_create(_merge(key, width, parts) for key, parts in groups.items())
    return len(groups)


def _merge(key: type_Key, width: int, parts: list[Window]) -> Window:
    environment, endpoint, arm, version, release, start = key
    return Window(
        environment=environment,
        endpoint=endpoint,
        arm=arm,
        version=version,
        release=release,
        gateway="",
        seconds=width,
        start=start,
        latency=merged([part.latency for part in parts]).to_dict(),
        **{name: sum(getattr(part, name) for part in parts) for name in SUMS},
    )


def retention_apply(*, now: datetime) -> int:
    """Delete windows and events past their time; return how many rows went."""
    deleted = 0
    for width, kept in KEPT.items():
        deleted += _delete(Window.objects.filter(seconds=width, start__lt=now - kept))
    deleted += _delete(Event.objects.filter(kind="windows.stored", at__lt=now - NEWS_KEPT))
    deleted += _delete(Event.objects.filter(at__lt=now - EVENTS_KEPT).exclude(relayed_at=None))
    return deleted


def _delete(rows: "QuerySet[Window] | QuerySet[Event]") -> int:
    """Delete in batches, so that no writer waits long."""
    total = 0
    while True:
        pks = list(rows.values_list("pk", flat=True)[:DELETE_BATCH])
        if not pks:
            return total
        total += rows.model.objects.filter(pk__in=pks).delete()[0]
