"""Roll windows up exactly, and let old ones go, by rule.

Each one-second window is added to every roll-up once, in the order of arrival, however late it comes: the cursor moves
in the transaction that adds it. Only what is rolled up already is let go.
"""

from collections import defaultdict
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from dataplane.wire.histogram import merged
from mlorch_site.lib import clock
from mlorch_site.live.models import Event
from monitoring.models import DRIFT_KEPT, KEPT, DriftWindow, GatewayCursor, RollUpCursor, Window

WIDTHS = tuple(width for width in KEPT if width > 1)
EVENTS_KEPT = timedelta(hours=24)
NEWS_KEPT = timedelta(minutes=10)  # "windows.stored" comes every second and says little
CURSORS_KEPT = timedelta(
    days=14
)  # longer than a window may be late: what such a boot still sends is refused by its age
ROLL_UP_BATCH = 500  # holds the lock of writers for some tens of milliseconds
DELETE_BATCH = 5000
SUMS = (
    "requests",
    "ok",
    "client_errors",
    "server_errors",
    "timeouts",
    "rejected",
    "drawn",
    "compared",
    "agreed",
    "difference_sum",
)

type_Key = tuple[str, str, str, int, str, datetime]


def has_windows_to_roll_up() -> bool:
    """Whether one-second windows arrived since the last time."""
    cursor = RollUpCursor.objects.filter(pk=1).values_list("window_id", flat=True).first() or 0
    return Window.objects.filter(seconds=1, id__gt=cursor).exists()


def windows_roll_up() -> int:
    """Add every one-second window that arrived since the last time to its roll-ups; return how many there were."""
    total = 0
    while done := _roll_up_some():
        total += done
    return total


@transaction.atomic
def _roll_up_some() -> int:
    cursor, _ = RollUpCursor.objects.select_for_update().get_or_create(pk=1)
    rows = Window.objects.filter(seconds=1, id__gt=cursor.window_id).defer("units")
    fresh = list(rows.order_by("id")[:ROLL_UP_BATCH])
    if not fresh:
        return 0
    for width in WIDTHS:
        _add(width, fresh)
    RollUpCursor.objects.filter(pk=1).update(window_id=fresh[-1].pk)
    return len(fresh)


def _add(width: int, fresh: list[Window]) -> None:
    """Add windows to the roll-ups of `width` seconds; those that exist already are replaced by the sum."""
    groups: dict[type_Key, list[Window]] = defaultdict(list)
    for window in fresh:
        groups[_key(window, width)].append(window)
    starts = {key[-1] for key in groups}
    endpoints = {key[1] for key in groups}
    known = Window.objects.filter(seconds=width, start__in=starts, endpoint__in=endpoints)
    replaced = []
    for row in known:
        if _key(row, width) in groups:
            groups[_key(row, width)].append(row)
            replaced.append(row.pk)
    Window.objects.filter(pk__in=replaced).delete()
    Window.objects.bulk_create(_merge(key, width, parts) for key, parts in groups.items())


def _key(window: Window, width: int) -> type_Key:
    start = clock.from_unix(int(window.start.timestamp()) // width * width)
    return window.environment, window.endpoint, window.arm, window.version, window.release, start


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
        latency=merged(part.latency for part in parts).to_dict(),
        difference_max=max(part.difference_max for part in parts),
        **{name: sum(getattr(part, name) for part in parts) for name in SUMS},
    )


def retention_apply(*, now: datetime) -> int:
    """Delete windows, events and cursors past their time; return how many rows went."""
    cursor = RollUpCursor.objects.filter(pk=1).values_list("window_id", flat=True).first() or 0
    deleted = _delete(Window.objects.filter(seconds=1, start__lt=now - KEPT[1], id__lte=cursor))
    for width in WIDTHS:
        deleted += _delete(Window.objects.filter(seconds=width, start__lt=now - KEPT[width]))
    deleted += _delete(Event.objects.filter(kind="windows.stored", at__lt=now - NEWS_KEPT))
    deleted += _delete(Event.objects.filter(at__lt=now - EVENTS_KEPT).exclude(relayed_at=None))
    deleted += _delete(DriftWindow.objects.filter(start__lt=now - DRIFT_KEPT))
    deleted += _delete(GatewayCursor.objects.filter(updated_at__lt=now - CURSORS_KEPT))
    return deleted


def _delete(rows: "QuerySet[Window] | QuerySet[Event] | QuerySet[GatewayCursor] | QuerySet[DriftWindow]") -> int:
    """Delete in batches, so that no writer waits long."""
    total = 0
    while True:
        pks = list(rows.values_list("pk", flat=True)[:DELETE_BATCH])
        if not pks:
            return total
        total += rows.model.objects.filter(pk__in=pks).delete()[0]
