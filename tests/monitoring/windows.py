"""Windows and batches as a gateway pushes them."""

import json
from datetime import UTC, datetime
from typing import Any

import time_machine

from dataplane.wire import shapes
from dataplane.wire.histogram import Histogram
from dataplane.wire.shapes import Malformed
from dataplane.wire.window_batch import WindowBatch
from mlorch_site.lib import clock
from mlorch_site.lib.wire import refusal
from monitoring.models import Window
from monitoring.services import windows_store

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PLACE = {"environment": "production", "endpoint": "clinic"}


def latency(values: list[float]) -> dict[str, Any]:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram.to_dict()


def row(second: int = -2, *, latencies: list[float] | None = None, errors: int = 0, **fields: Any) -> dict[str, Any]:
    """A window that began `second` seconds after `NOW`, with one request per latency, the last `errors` of them
    failed.
    """
    values = [5.0] if latencies is None else latencies
    return {
        **PLACE,
        "arm": "stable",
        "version": "1",
        "release": "r1",
        "start": int(NOW.timestamp()) + second,
        "seconds": 1,
        "requests": len(values),
        "ok": len(values) - errors,
        "server_errors": errors,
        "latency": latency(values),
        **fields,
    }


def batch(sequence: int = 1, *rows: dict[str, Any], boot: str = "b1", **fields: Any) -> dict[str, Any]:
    return {"boot": boot, "sequence": sequence, "dropped_windows": 0, "windows": list(rows), **fields}


def store(sequence: int, *rows: dict[str, Any], gateway: str = "g1", now: datetime = NOW, **fields: Any) -> int:
    """Store a batch as the site does at `now`."""
    try:
        read = shapes.read(WindowBatch, json.dumps(batch(sequence, *rows, **fields)).encode())
    except Malformed as error:
        raise refusal(error) from error
    return windows_store(gateway=gateway, batch=read, now=now)


def at(second: int = 0) -> Any:
    """The context in which the clock stands `second` seconds after `NOW`."""
    return time_machine.travel(clock.from_unix(NOW.timestamp() + second), tick=False)


def totals(seconds: int) -> dict[str, int]:
    """Requests per arm over all windows of one width."""
    found: dict[str, int] = {}
    for window in Window.objects.filter(seconds=seconds):
        found[window.arm] = found.get(window.arm, 0) + window.requests
    return found
