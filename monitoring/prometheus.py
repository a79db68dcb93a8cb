"""The site's own numbers as Prometheus reads them: how far telemetry and events are behind."""

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from mlorch_site.lib import clock
from mlorch_site.live.selectors import newest_sequence, unrelayed
from monitoring.models import GatewayCursor
from monitoring.selectors import newest_window_age_s, windows_not_rolled_up


def metrics() -> bytes:
    """All metrics in the text format, read now. `-1` stands for an age of something that is not there."""
    registry = CollectorRegistry()

    def gauge(name: str, meaning: str, value: float) -> None:
        Gauge(f"mlorch_{name}", meaning, registry=registry).set(value)

    waiting, oldest = unrelayed()
    gauge("live_event_sequence", "Sequence of the newest event", newest_sequence())
    gauge("live_events_unrelayed", "Events that are not handled yet", waiting)
    age_s = (clock.now() - oldest).total_seconds() if oldest else 0
    gauge("live_relay_lag_seconds", "Age of the oldest event that is not handled yet", age_s)
    gauge("monitoring_window_age_seconds", "Age of the newest one-second window", newest_window_age_s())
    gauge("monitoring_windows_unrolled", "One-second windows that are not in the roll-ups yet", windows_not_rolled_up())
    dropped = Gauge(
        "mlorch_gateway_windows_dropped", "Windows a boot of a gateway lost", ["gateway", "boot"], registry=registry
    )
    for cursor in GatewayCursor.objects.filter(dropped_windows__gt=0).order_by("-updated_at")[:100]:
        dropped.labels(cursor.gateway, cursor.boot).set(cursor.dropped_windows)
    return generate_latest(registry)
