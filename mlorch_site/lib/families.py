"""Families of gauges and counters as Prometheus reads them, made of rows that were read at that moment."""

from collections.abc import Iterable, Iterator

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

type_Rows = Iterable[tuple[tuple[str, ...], float]]


def gauge(name: str, meaning: str, value: float) -> Metric:
    """The gauge `mlorch_<name>` with one sample."""
    return GaugeMetricFamily(f"mlorch_{name}", meaning, value=value)


def gauges(name: str, meaning: str, labels: tuple[str, ...], rows: type_Rows) -> Metric:
    """The gauge `mlorch_<name>` with a sample for each row of the labels' values and a number."""
    family = GaugeMetricFamily(f"mlorch_{name}", meaning, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def counters(name: str, meaning: str, labels: tuple[str, ...], rows: type_Rows) -> Metric:
    """The counter `mlorch_<name>_total` with a sample for each row of the labels' values and a number."""
    family = CounterMetricFamily(f"mlorch_{name}", meaning, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def exposition(families: Iterable[Metric]) -> bytes:
    """The families in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Families(list(families)))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families
