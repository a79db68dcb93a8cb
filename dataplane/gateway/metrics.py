"""Prometheus metrics of the gateway, read from its plain numbers when somebody asks: a request costs no metric call.

Every sample is labelled with the process's gateway id, because several processes share one port (`exposition.py`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from dataplane.gateway.core.compiled_table import CompiledTable
from dataplane.gateway.core.lanes import LATENCY_BOUNDS_S, Lane
from dataplane.gateway.core.shadow import Shadow
from dataplane.gateway.site.request_log import RequestLog
from dataplane.gateway.site.spool import Spool
from dataplane.gateway.site.traces import Traces

GATEWAY = "gateway"
ENDPOINT = ["environment", "endpoint"]
LANE = [*ENDPOINT, "arm", "version"]
type_Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class Numbers(Protocol):
    """Where the numbers of a process are read: its state, as far as metrics know it."""

    shadow: Shadow
    request_log: RequestLog
    spool: Spool
    traces: Traces | None

    @property
    def lanes(self) -> Mapping[tuple[str, str, str, str], Lane]: ...

    @property
    def tables(self) -> Mapping[str, CompiledTable]: ...

    @property
    def open_requests(self) -> Mapping[tuple[str, str], int]: ...


class Metrics:
    """What Prometheus gets of one gateway process, and the few numbers that belong to nothing else."""

    def __init__(self, numbers: Numbers, gateway: str) -> None:
        self.refusals: dict[int, int] = {}
        self.tables_refused: dict[str, int] = {}
        self.is_connected = False
        self.loops_failed: dict[str, int] = {}
        self.peers_missed = 0
        self._registry = CollectorRegistry()
        self._registry.register(_GatewayCollector(numbers, self, gateway))
        self._process = CollectorRegistry()
        ProcessCollector(namespace="mlorch_gateway", registry=self._process)
        self._registry.register(_ProcessCollector(self._process, gateway))

    def refused(self, status: int) -> None:
        """Count a request that the gateway itself answered."""
        self.refusals[status] = self.refusals.get(status, 0) + 1

    def loop_failed(self, name: str) -> None:
        """Count that one of the loops that speak with the site, or write the request log, had to begin again."""
        self.loops_failed[name] = self.loops_failed.get(name, 0) + 1

    def table_refused(self, environment: str) -> None:
        self.tables_refused[environment] = self.tables_refused.get(environment, 0) + 1

    def render(self) -> bytes:
        """The metrics of this process in Prometheus' text format."""
        return generate_latest(self._registry)


class _ProcessCollector(Collector):
    """Adds the gateway's id to the samples of another registry."""

    def __init__(self, registry: CollectorRegistry, gateway: str) -> None:
        self._inner = registry
        self._gateway = gateway

    def collect(self) -> Iterator[type_Family]:
        for family in self._inner.collect():
            is_counter = family.type == "counter"
            kind = CounterMetricFamily if is_counter else GaugeMetricFamily
            labelled = kind(family.name, family.documentation, labels=[GATEWAY])
            for sample in family.samples:
                labelled.add_metric([self._gateway], sample.value)
            yield labelled

    def describe(self) -> Iterable[type_Family]:
        return []


class _GatewayCollector(Collector):
    """The gateway's own numbers as families."""

    def __init__(self, numbers: Numbers, metrics: Metrics, gateway: str) -> None:
        self._numbers = numbers
        self._metrics = metrics
        self._gateway = gateway

    def describe(self) -> Iterable[type_Family]:
        return []

    def collect(self) -> Iterator[type_Family]:
        yield self._outcomes()
        yield from self._histograms()
        yield from self._lanes()
        yield from self._own()
        yield from self._request_log()
        yield from self._traces()
        yield self._shadow()

    def _shadow(self) -> type_Family:
        rows = [(list(place), float(count)) for place, count in self._numbers.shadow.dropped.items()]
        return self._counter("shadow_dropped_requests", "Mirrored requests that found no room.", ENDPOINT, rows)

    def _request_log(self) -> Iterator[type_Family]:
        counts = self._numbers.request_log.counts.items()
        for name, text in (
            ("written", "Request log entries written to files."),
            ("exported", "Request log entries posted as CloudEvents."),
            ("dropped", "Request log entries lost for want of room, or not sent."),
        ):
            rows = [(list(place), float(getattr(count, name))) for place, count in counts]
            yield self._counter(f"request_log_{name}", text, ENDPOINT, rows)

    def _traces(self) -> Iterator[type_Family]:
        traces = self._numbers.traces
        if traces is None:
            return
        kept = [([reason], float(count)) for reason, count in traces.kept.items()]
        yield self._counter("traces_kept", "Requests of which a trace is sent, by why.", ["reason"], kept)
        yield self._counter("traces_sent", "Traces that the receiver took.", [], [([], float(traces.sent))])
        lost = [([why], float(count)) for why, count in traces.lost.items()]
        yield self._counter("traces_lost", "Traces that were wanted and not sent.", ["why"], lost)

    def _gauge(self, name: str, text: str, labels: list[str], rows: Iterable[tuple[list[str], float]]) -> type_Family:
        family = GaugeMetricFamily(f"mlorch_gateway_{name}", text, labels=[GATEWAY, *labels])
        for values, value in rows:
            family.add_metric([self._gateway, *values], value)
        return family

    def _counter(self, name: str, text: str, labels: list[str], rows: Iterable[tuple[list[str], float]]) -> type_Family:
        family = CounterMetricFamily(f"mlorch_gateway_{name}", text, labels=[GATEWAY, *labels])
        for values, value in rows:
            family.add_metric([self._gateway, *values], value)
        return family

    def _each(self, number: Callable[[Lane], float]) -> list[tuple[list[str], float]]:
        return [(list(key), number(lane)) for key, lane in self._numbers.lanes.items()]

    def _outcomes(self) -> type_Family:
        rows = [
            ([*key, outcome], float(count))
            for key, lane in self._numbers.lanes.items()
            for outcome, count in lane.counts.outcomes.items()
        ]
        return self._counter("requests", "Answered requests by outcome.", [*LANE, "outcome"], rows)

    def _histograms(self) -> Iterator[type_Family]:
        latency = HistogramMetricFamily(
            "mlorch_gateway_request_duration_seconds",
            "From the last byte of a request's body to the first of its answer.",
            labels=[GATEWAY, *LANE],
        )
        sizes = HistogramMetricFamily(
            "mlorch_gateway_batch_size_requests", "Requests sent to a worker together.", labels=[GATEWAY, *LANE]
        )
        for key, lane in self._numbers.lanes.items():
            labels, counts = [self._gateway, *key], lane.counts
            latency.add_metric(labels, _cumulated(LATENCY_BOUNDS_S, counts.latency_buckets), counts.latency_sum_s)
            bounds = sorted(counts.batch_sizes)
            sized = [counts.batch_sizes[bound] for bound in bounds]
            sizes.add_metric(labels, _cumulated(tuple(map(float, bounds)), [*sized, 0]), counts.sent_requests)
        yield latency
        yield sizes

    def _lanes(self) -> Iterator[type_Family]:
        yield self._gauge("queued_requests", "Waiting for a worker.", LANE, self._each(lambda lane: lane.queued))
        yield self._gauge(
            "in_flight_requests",
            "Sent to a worker.",
            LANE,
            self._each(lambda lane: sum(lane.replicas.in_flight().values())),
        )
        yield self._gauge(
            "ejected_replicas", "Left alone for now.", LANE, self._each(lambda lane: len(lane.replicas.ejected))
        )
        counters: tuple[tuple[str, str, Callable[[Lane], float]], ...] = (
            ("retries", "Requests asked of another replica.", lambda lane: lane.counts.retries),
            ("clients_gone", "Requests dropped because the client went away.", lambda lane: lane.counts.dropped),
            ("deadlines_exceeded", "Requests without an answer in time.", lambda lane: lane.counts.expired),
        )
        for name, text, number in counters:
            yield self._counter(name, text, LANE, self._each(number))

    def _own(self) -> Iterator[type_Family]:
        numbers, metrics = self._numbers, self._metrics
        open_requests = [(list(place), float(count)) for place, count in numbers.open_requests.items()]
        yield self._gauge("open_requests", "Accepted and not answered.", ENDPOINT, open_requests)
        refusals = [([str(status)], float(count)) for status, count in metrics.refusals.items()]
        yield self._counter("refusals", "Requests the gateway itself answered.", ["status"], refusals)
        revisions = [([name], float(table.revision)) for name, table in numbers.tables.items()]
        yield self._gauge("route_table_revision", "Applied revision.", ["environment"], revisions)
        refused = [([name], float(count)) for name, count in metrics.tables_refused.items()]
        yield self._counter("route_tables_refused", "Invalid tables, refused whole.", ["environment"], refused)
        connected = "1 when the last poll of the site worked."
        yield self._gauge("control_plane_connected", connected, [], [([], float(metrics.is_connected))])
        spooled = "Batches of windows the site does not have yet."
        yield self._gauge("spooled_batches", spooled, [], [([], float(len(numbers.spool)))])
        lost = "Windows lost for want of room."
        yield self._counter("dropped_windows", lost, [], [([], numbers.spool.dropped_windows)])
        failed = [([name], float(count)) for name, count in metrics.loops_failed.items()]
        yield self._counter("loop_failures", "Begun again after an error nobody foresaw.", ["loop"], failed)
        missed = "Other processes of this machine that did not tell their metrics in time."
        yield self._counter("peers_missed", missed, [], [([], metrics.peers_missed)])


def _cumulated(bounds: tuple[float, ...], counts: list[int]) -> list[tuple[str, float]]:
    """Prometheus' cumulative buckets of counts per bucket, the last one without a bound."""
    buckets, total = [], 0
    for bound, count in zip([*map(str, bounds), "+Inf"], counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets
