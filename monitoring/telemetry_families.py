"""What monitoring tells Prometheus of itself: how far telemetry and events are behind, and what is alarming."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from prometheus_client.metrics_core import Metric

from mlorch_site.lib.families import counters, gauge, gauges
from mlorch_site.live.selectors import newest_sequence, unrelayed
from monitoring.models import Alert, GatewayCursor, ObjectiveStanding
from monitoring.selectors import newest_window_age_s, windows_not_rolled_up

CURSORS_MAX = 100  # boots of gateways that lost windows, the newest
ENDPOINT = ("environment", "endpoint")


def telemetry_families(now: datetime) -> Iterator[Metric]:
    """The families of events, windows, alerts and objectives. `-1` stands for an age of something that is not there."""
    waiting, oldest = unrelayed()
    yield gauge("live_event_sequence", "Sequence of the newest event.", newest_sequence())
    yield gauge("live_events_unrelayed", "Events that are not handled yet.", waiting)
    lag_s = (now - oldest).total_seconds() if oldest else 0
    yield gauge("live_relay_lag_seconds", "Age of the oldest event that is not handled yet.", lag_s)
    yield gauge("monitoring_window_age_seconds", "Age of the newest one-second window.", newest_window_age_s())
    unrolled = "One-second windows that are not in the roll-ups yet."
    yield gauge("monitoring_windows_unrolled", unrolled, windows_not_rolled_up())
    yield _dropped()
    yield _alerts()
    yield _budgets()


def _dropped() -> Metric:
    rows = GatewayCursor.objects.filter(dropped_windows__gt=0).order_by("-updated_at")[:CURSORS_MAX]
    lost = [((row.gateway, row.boot), float(row.dropped_windows)) for row in rows]
    return counters("monitoring_windows_dropped", "Windows that a boot of a gateway lost.", ("gateway", "boot"), lost)


def _alerts() -> Metric:
    """Alerts that have not ended, those that somebody acknowledged apart."""
    places = Counter(
        (alert.rule.environment.name, alert.rule.endpoint, alert.rule.severity, alert.state)
        for alert in Alert.objects.filter(resolved_at=None).select_related("rule__environment")
    )
    labels = (*ENDPOINT, "severity", "state")
    return gauges("monitoring_alerts", "Alerts that have not ended.", labels, _counted(places))


def _counted(counts: Counter[tuple[str, str, str, str]]) -> Iterator[tuple[tuple[str, ...], float]]:
    return ((place, float(count)) for place, count in sorted(counts.items()))


def _budgets() -> Metric:
    standings = ObjectiveStanding.objects.filter(objective__ended_at=None).select_related("objective__environment")
    rows = [
        ((one.objective.environment.name, one.objective.endpoint, one.objective.sentence), one.left_pct / 100)
        for one in standings.order_by("pk")
    ]
    left = "Share of an objective's error budget that is left."
    return gauges("monitoring_budget_left_ratio", left, (*ENDPOINT, "objective"), rows)
