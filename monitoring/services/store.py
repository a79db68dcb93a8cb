"""Take in batches of windows: each exactly once, in order, or not at all (docs/wire.md section 4)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from dataplane.wire.histogram import Histogram
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid
from mlorch_site.live.outbox import publish
from monitoring.models import GatewayCursor, Window

WINDOWS_MAX_PER_BATCH = 5000
TEXT_MAX_CHARS = {"environment": 40, "endpoint": 80, "arm": 20, "release": 36}
COUNTS = ("ok", "client_errors", "server_errors", "timeouts")
BUCKETS_MAX = 2500
COUNT_MAX = 1_000_000  # of one arm in one second and gateway; keeps every roll-up within 31 bits
LATENCY_MAX_MS = 1e9
DIFFERENCE_MAX = 1e24  # of a window; keeps sums finite
SEQUENCE_MAX = 2**53
FUTURE_MAX_S = 60
AGE_MAX_S = 7 * 24 * 3600


class BatchGap(Conflict):
    """An earlier batch of this boot is missing; `details["expected"]` is its sequence."""

    code = "batch_gap"


@dataclass(frozen=True)
class Batch:
    """A validated batch of one gateway's boot."""

    boot: str
    sequence: int
    dropped_windows: int
    gap: bool
    windows: list[Window]


def parse_batch(gateway: str, body: Any, now: datetime) -> Batch:
    """Return the batch of a request body. Raises Invalid with a sentence for anything that docs/wire.md does not allow."""
    if not isinstance(body, dict):
        raise Invalid("A batch is a JSON object.")
    boot, sequence, rows = _text(body, "boot", 36), body.get("sequence"), body.get("windows")
    if type(sequence) is not int or not 1 <= sequence <= SEQUENCE_MAX:
        raise Invalid("sequence must be a positive integer.")
    if not isinstance(rows, list) or len(rows) > WINDOWS_MAX_PER_BATCH:
        raise Invalid(f"windows must be a list of at most {WINDOWS_MAX_PER_BATCH}.")
    dropped = _count(body, "dropped_windows", SEQUENCE_MAX)
    windows = [parse_window(gateway, row, now) for row in rows]
    return Batch(boot, sequence, dropped, body.get("gap") is True, windows)


def parse_window(gateway: str, row: Any, now: datetime) -> Window:
    """Return the unsaved window of a row. Raises Invalid."""
    if not isinstance(row, dict):
        raise Invalid("A window is a JSON object.")
    if row.get("seconds", 1) != 1:
        raise Invalid("seconds must be 1.")
    texts = {name: _text(row, name, limit) for name, limit in TEXT_MAX_CHARS.items()}
    counts = {
        name: _count(row, name, COUNT_MAX) for name in (*COUNTS, "requests", "rejected", "drawn", "compared", "agreed")
    }
    if counts["requests"] != sum(counts[name] for name in COUNTS):
        raise Invalid("requests must be the sum of ok, client_errors, server_errors and timeouts.")
    if counts["agreed"] > counts["compared"]:
        raise Invalid("agreed must not be more than compared.")
    differences = {name: _difference(row, name) for name in ("difference_sum", "difference_max")}
    version = str(row.get("version", ""))
    if not (version.isascii() and version.isdigit()) or len(version) > 9:
        raise Invalid("version must be a number.")
    start = _count(row, "start", SEQUENCE_MAX)
    if not now.timestamp() - AGE_MAX_S <= start <= now.timestamp() + FUTURE_MAX_S:
        raise Invalid("start is too far from the site's clock.")
    latency = _latency(row.get("latency"), counts["requests"])
    moment = clock.from_unix(start)
    numbers = {**counts, **differences}
    return Window(gateway=gateway, seconds=1, start=moment, version=int(version), latency=latency, **texts, **numbers)


def _latency(data: Any, requests: int) -> dict[str, Any]:
    try:
        histogram = Histogram.from_dict(data if isinstance(data, dict) else {})
    except ValueError as error:
        raise Invalid(f"latency: {error}") from error
    if len(histogram.buckets) > BUCKETS_MAX or histogram.count != requests:
        raise Invalid("latency must count every request once.")
    if histogram.max_ms > LATENCY_MAX_MS or histogram.sum_ms > LATENCY_MAX_MS * max(requests, 1):
        raise Invalid(f"latency: no request took longer than {LATENCY_MAX_MS:g} ms.")
    return histogram.to_dict()


def _text(row: dict[str, Any], name: str, limit: int) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= limit or not value.isprintable():
        raise Invalid(f"{name} must be a printable text of 1 to {limit} characters.")
    return value


def _count(row: dict[str, Any], name: str, most: int) -> int:
    value = row.get(name, 0)
    if type(value) is not int or not 0 <= value <= most:
        raise Invalid(f"{name} must be an integer from 0 to {most}.")
    return value


def _difference(row: dict[str, Any], name: str) -> float:
    value = row.get(name, 0)
    if type(value) not in (int, float) or not 0 <= value <= DIFFERENCE_MAX:
        raise Invalid(f"{name} must be a number from 0 to {DIFFERENCE_MAX:g}.")
    return float(value)


@transaction.atomic
def windows_store(*, gateway: str, body: Any, now: datetime) -> int:
    """Store a batch and return its sequence. A batch that is known already is accepted again without effect.

    Raises Invalid for a malformed batch and BatchGap when an earlier one is missing and the gateway does not say that it lost it.
    """
    batch = parse_batch(gateway, body, now)
    cursor, _ = GatewayCursor.objects.select_for_update().get_or_create(
        gateway=gateway, boot=batch.boot, defaults={"updated_at": now}
    )
    if batch.sequence <= cursor.sequence:
        return batch.sequence
    if batch.sequence != cursor.sequence + 1 and not batch.gap:
        expected = cursor.sequence + 1
        raise BatchGap(f"Batch {expected} is missing.", details={"expected": expected})
    # Publishing takes the lock of the event head, so the ids that follow are given in the order of commits: a reader with a cursor
    # never passes over windows of a slower transaction.
    for environment, endpoint in sorted({(window.environment, window.endpoint) for window in batch.windows}):
        publish(
            f"endpoint.{environment}.{endpoint}", "windows.stored", {"environment": environment, "endpoint": endpoint}
        )
    Window.objects.bulk_create(batch.windows)
    GatewayCursor.objects.filter(pk=cursor.pk).update(
        sequence=batch.sequence, dropped_windows=batch.dropped_windows, updated_at=now
    )
    return batch.sequence
