"""What gateways said of themselves, added up for people: processes, and the queues and batches of each endpoint's
arms.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import QuerySet

from dataplane.wire import shapes
from dataplane.wire.gateway_poll import GatewayStats, LaneStats
from deployments import limits
from deployments.models import Endpoint, GatewayState
from deployments.routes.revisions import newest_revisions
from mlorch_site.lib import clock
from registry.models import Environment


@dataclass(frozen=True)
class Obeyed:
    """One environment's routes at one gateway: the newest published revision and the one it obeys."""

    environment: str
    wanted: int
    applied: int
    refused: str

    @property
    def is_current(self) -> bool:
        return self.applied >= self.wanted


@dataclass(frozen=True)
class GatewayProcess:
    """One gateway process as it last reported itself.

    `is_leaving`: a younger process of the same gateway takes over from it.
    """

    name: str
    is_live: bool
    is_leaving: bool
    last_seen_at: datetime
    started_at: datetime | None
    stats: GatewayStats
    routes: list[Obeyed]


def gateway_processes(now: datetime, environments: QuerySet[Environment]) -> list[GatewayProcess]:
    """All known gateway processes with the routes of these environments that they obey, in the order of their names,
    older ones first.
    """
    shown = set(environments.values_list("name", flat=True))
    wanted = {name: revision for name, revision in newest_revisions().items() if name in shown}
    since = now - timedelta(seconds=limits.GATEWAY_LEASE_S)
    rows = list(GatewayState.objects.order_by("gateway", "first_seen_at"))
    youngest = {row.gateway: row.boot for row in rows}
    return [_process(row, wanted, row.last_seen_at >= since, row.boot != youngest[row.gateway]) for row in rows]


def _process(row: GatewayState, wanted: dict[str, int], is_live: bool, is_leaving: bool) -> GatewayProcess:
    routes = [
        Obeyed(name, revision, row.applied.get(name, 0), str(row.refused.get(name, {}).get("error", "")))
        for name, revision in sorted(wanted.items())
    ]
    stats = stats_of(row)
    return GatewayProcess(
        row.gateway,
        is_live,
        is_leaving,
        row.last_seen_at,
        clock.from_unix(stats.started_at) if stats.started_at else None,
        stats,
        routes,
    )


@dataclass
class ArmTraffic:
    """One arm's version over all live gateway processes.

    `sizes` maps a batch's size (rounded up to a power of two) to how many there were.
    """

    arm: str
    version: str
    queued: int = 0
    in_flight: dict[str, int] = field(default_factory=dict)
    retries: int = 0
    clients_gone: int = 0
    deadlines_exceeded: int = 0
    sizes: dict[int, int] = field(default_factory=dict)
    ejected: set[str] = field(default_factory=set)

    @property
    def bars(self) -> list[tuple[str, int, int]]:
        """Return (sizes as people say it, number of batches, percent of the longest bar), smallest sizes first."""
        most = max(self.sizes.values(), default=1)
        return [
            (str(bound) if bound < 3 else f"{bound // 2 + 1}–{bound}", count, round(100 * count / most))
            for bound, count in sorted(self.sizes.items())
        ]

    def add(self, lane: LaneStats) -> None:
        """Add what one gateway process counted."""
        self.queued += lane.queued
        self.retries += lane.retries
        self.clients_gone += lane.clients_gone
        self.deadlines_exceeded += lane.deadlines_exceeded
        self.ejected |= set(lane.ejected)
        for replica, count in lane.in_flight.items():
            self.in_flight[replica] = self.in_flight.get(replica, 0) + count
        for bound, count in lane.batch_sizes.items():
            self.sizes[bound] = self.sizes.get(bound, 0) + count


def arms_traffic(endpoint: Endpoint, gateways: Iterable[GatewayState]) -> list[ArmTraffic]:
    """The queues and batches of an endpoint's arms, as the given gateways last reported them."""
    found: dict[tuple[str, str], ArmTraffic] = {}
    for gateway in gateways:
        for lane in stats_of(gateway).lanes:
            if (lane.environment, lane.endpoint) == (endpoint.environment.name, endpoint.name):
                place = (lane.arm, lane.version)
                found.setdefault(place, ArmTraffic(*place)).add(lane)
    return [found[place] for place in sorted(found, reverse=True)]


def stats_of(gateway: GatewayState) -> GatewayStats:
    """The numbers that a gateway process last reported."""
    return shapes.convert(GatewayStats, gateway.stats)
