"""What gateways said of themselves, added up for people: processes, and the queues and batches of each endpoint's arms."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from deployments import limits
from deployments.models import Endpoint, GatewayState
from deployments.routes.revisions import newest_revisions
from mlorch_site.lib import clock


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
    """One gateway process as it last reported itself. `is_leaving`: a younger process of the same gateway takes over from it."""

    name: str
    is_live: bool
    is_leaving: bool
    last_seen_at: datetime
    started_at: datetime | None
    stats: dict[str, Any]
    routes: list[Obeyed]


def gateway_processes(now: datetime) -> list[GatewayProcess]:
    """Return all known gateway processes with the routes they obey, in the order of their names, older ones first."""
    wanted = newest_revisions()
    since = now - timedelta(seconds=limits.GATEWAY_LEASE_S)
    rows = list(GatewayState.objects.order_by("gateway", "first_seen_at"))
    youngest = {row.gateway: row.boot for row in rows}
    return [_process(row, wanted, row.last_seen_at >= since, row.boot != youngest[row.gateway]) for row in rows]


def _process(row: GatewayState, wanted: dict[str, int], is_live: bool, is_leaving: bool) -> GatewayProcess:
    routes = [
        Obeyed(name, revision, row.applied.get(name, 0), str(row.refused.get(name, {}).get("error", "")))
        for name, revision in sorted(wanted.items())
    ]
    started_at = row.stats.get("started_at")
    return GatewayProcess(
        row.gateway,
        is_live,
        is_leaving,
        row.last_seen_at,
        clock.from_unix(started_at) if started_at else None,
        row.stats,
        routes,
    )


@dataclass
class ArmTraffic:
    """One arm's version over all live gateway processes. `sizes` maps a batch's size (rounded up to a power of two) to how many there were."""

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


def arms_traffic(endpoint: Endpoint, gateways: Iterable[GatewayState]) -> list[ArmTraffic]:
    """Return the queues and batches of an endpoint's arms, as the given gateways last reported them."""
    found: dict[tuple[str, str], ArmTraffic] = {}
    for gateway in gateways:
        for lane in gateway.stats.get("lanes", []):
            if (lane.get("environment"), lane.get("endpoint")) == (endpoint.environment.name, endpoint.name):
                place = (str(lane.get("arm")), str(lane.get("version")))
                _add(found.setdefault(place, ArmTraffic(*place)), lane)
    return [found[place] for place in sorted(found, reverse=True)]


def _add(total: ArmTraffic, lane: dict[str, Any]) -> None:
    total.queued += lane.get("queued", 0)
    total.retries += lane.get("retries", 0)
    total.clients_gone += lane.get("clients_gone", 0)
    total.deadlines_exceeded += lane.get("deadlines_exceeded", 0)
    total.ejected |= set(lane.get("ejected", {}))
    for replica, count in lane.get("in_flight", {}).items():
        total.in_flight[replica] = total.in_flight.get(replica, 0) + count
    for bound, count in lane.get("batch_sizes", {}).items():
        total.sizes[int(bound)] = total.sizes.get(int(bound), 0) + count
