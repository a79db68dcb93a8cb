"""Take in batches of windows: each exactly once, in order, or not at all (docs/wire.md section 4)."""

from datetime import datetime

import msgspec
from django.db import transaction

from dataplane.wire import shapes, window_batch
from dataplane.wire.window_batch import WindowBatch
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid
from mlorch_site.live.outbox import publish
from monitoring.models import GatewayCursor, Window

FUTURE_MAX_S = 60
AGE_MAX_S = 7 * 24 * 3600


class BatchGap(Conflict):
    """An earlier batch of this boot is missing; `details["expected"]` is its sequence."""

    code = "batch_gap"


def _check_clocks(batch: WindowBatch, now: datetime) -> None:
    earliest, latest = now.timestamp() - AGE_MAX_S, now.timestamp() + FUTURE_MAX_S
    if not all(earliest <= window.start <= latest for window in batch.windows):
        raise Invalid("start is too far from the site's clock.")


def _row(gateway: str, window: window_batch.Window) -> Window:
    """The unsaved row of a window."""
    values = msgspec.structs.asdict(window)
    values |= {
        "start": clock.from_unix(window.start),
        "version": int(window.version),
        "latency": shapes.plain(window.latency),
        "units": shapes.plain(window.units) if window.units is not None else None,
    }
    return Window(gateway=gateway, **values)


@transaction.atomic
def windows_store(*, gateway: str, batch: WindowBatch, now: datetime) -> int:
    """Store a batch and return its sequence. A batch that is known already is accepted again without effect.

    Raises BatchGap when an earlier one is missing and the gateway does not say that it lost it, Invalid when a clock is
    wrong.
    """
    _check_clocks(batch, now)
    cursor, _ = GatewayCursor.objects.select_for_update().get_or_create(
        gateway=gateway, boot=batch.boot, defaults={"updated_at": now}
    )
    if batch.sequence <= cursor.sequence:
        return batch.sequence
    if batch.sequence != cursor.sequence + 1 and not batch.gap:
        expected = cursor.sequence + 1
        raise BatchGap(f"Batch {expected} is missing.", details={"expected": expected})
    # Publishing takes the lock of the event head, so the ids that follow are given in the order of commits: a reader
    # with a cursor
    # never passes over windows of a slower transaction.
    for environment, endpoint in sorted({(window.environment, window.endpoint) for window in batch.windows}):
        publish(
            f"endpoint.{environment}.{endpoint}", "windows.stored", {"environment": environment, "endpoint": endpoint}
        )
    Window.objects.bulk_create([_row(gateway, window) for window in batch.windows])
    GatewayCursor.objects.filter(pk=cursor.pk).update(
        sequence=batch.sequence, dropped_windows=batch.dropped_windows, updated_at=now
    )
    return batch.sequence
