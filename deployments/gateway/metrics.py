"""Prometheus metrics of the gateway, in a registry of its own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LABELS = ["environment", "endpoint", "arm", "version"]


class Metrics:
    """All metrics of one gateway process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "mlorch_gateway_requests", "Answered requests.", [*LABELS, "outcome"], registry=self.registry
        )
        self.latency = Histogram(
            "mlorch_gateway_latency_seconds",
            "From the request's last byte to the answer's first.",
            LABELS,
            registry=self.registry,
        )
        self.refused = Counter(
            "mlorch_gateway_refusals", "Requests the gateway refused.", ["status"], registry=self.registry
        )
        self.in_flight = Gauge("mlorch_gateway_in_flight_requests", "Open requests.", registry=self.registry)
        self.revision = Gauge(
            "mlorch_gateway_route_table_revision", "Applied revision.", ["environment"], registry=self.registry
        )
        self.tables_refused = Counter(
            "mlorch_gateway_route_tables_refused",
            "Invalid tables that were refused.",
            ["environment"],
            registry=self.registry,
        )
        self.connected = Gauge(
            "mlorch_gateway_control_plane_connected", "1 when the last poll worked.", registry=self.registry
        )
        self.spooled = Gauge(
            "mlorch_gateway_spooled_batches", "Batches the site does not have yet.", registry=self.registry
        )
        self.dropped = Gauge("mlorch_gateway_dropped_windows", "Windows lost for want of room.", registry=self.registry)

    def render(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self.registry)
