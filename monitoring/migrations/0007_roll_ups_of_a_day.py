"""Roll-ups of a day (UTC), filled from those of four hours: what figures of months are read from."""

from collections import Counter, defaultdict
from datetime import UTC, datetime

from django.db import migrations

FINE, COARSE = 14_400, 86_400
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


def fill(apps, schema_editor):
    model = apps.get_model("monitoring", "Window")
    fine = model.objects.filter(seconds=FINE)
    for environment, endpoint in fine.values_list("environment", "endpoint").distinct().order_by():
        rows = []
        parts, span = [], None
        for window in fine.filter(environment=environment, endpoint=endpoint).order_by("start").iterator():
            if span != (span := int(window.start.timestamp()) // COARSE):
                rows += coarse_of(model, parts)
                parts = []
            parts.append(window)
        model.objects.bulk_create([*rows, *coarse_of(model, parts)], batch_size=500)


def coarse_of(model, parts):
    """Return the roll-ups of windows that all lie on the same day."""
    groups = defaultdict(list)
    for window in parts:
        groups[window.arm, window.version, window.release].append(window)
    return [merge(model, windows) for windows in groups.values()]


def merge(model, windows):
    first = windows[0]
    return model(
        **{name: getattr(first, name) for name in ("environment", "endpoint", "arm", "version", "release")},
        gateway="",
        seconds=COARSE,
        start=datetime.fromtimestamp(int(first.start.timestamp()) // COARSE * COARSE, UTC),
        latency=merged([window.latency for window in windows]),
        difference_max=max(window.difference_max for window in windows),
        **{name: sum(getattr(window, name) for window in windows) for name in SUMS},
    )


def merged(latencies):
    """Return the sum of histograms as they were stored when this migration was written."""
    buckets = Counter()
    for latency in latencies:
        buckets.update(latency.get("buckets", {}))
    return {
        "zero": sum(latency.get("zero", 0) for latency in latencies),
        "buckets": dict(buckets),
        "sum_ms": round(sum(latency.get("sum_ms", 0.0) for latency in latencies), 3),
        "max_ms": max(latency.get("max_ms", 0.0) for latency in latencies),
    }


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0006_objectives_and_alerts")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
