"""What the gateway knows: tables, lanes, windows. One per process."""

import asyncio
import time
import uuid
from typing import Any

import structlog

from dataplane.gateway.config import SPOOL_MAX_BATCHES, GatewayConfig
from dataplane.gateway.core.compiled_table import CompiledTable, compile_table
from dataplane.gateway.core.lanes import Lane
from dataplane.gateway.core.shadow import Shadow
from dataplane.gateway.metrics import Metrics
from dataplane.gateway.peers import Peers
from dataplane.gateway.site import kept_tables
from dataplane.gateway.site.drift_counts import DriftCounts
from dataplane.gateway.site.request_log import RequestLog
from dataplane.gateway.site.spool import Spool
from dataplane.gateway.site.traces import Traces
from dataplane.gateway.site.windows import WindowKey, Windows
from dataplane.wire import shapes
from dataplane.wire.gateway_poll import RefusedTable
from dataplane.wire.route_table import RouteTable
from dataplane.wire.shapes import Malformed

log = structlog.get_logger(__name__)

NAME_MAX_CHARS = 63

type_LaneKey = tuple[str, str, str, str]  # environment, endpoint, arm, version


class State:
    """The process's state; the tables are swapped as a whole between two requests."""

    def __init__(self, config: GatewayConfig) -> None:
        self.config = config
        self.boot = str(uuid.uuid4())
        self.started_at = time.time()
        # The folder has kept its name: a process and its successor find each other across versions.
        self.peers = Peers(config.folder / "generations", self.boot)
        self.lanes: dict[type_LaneKey, Lane] = {}
        self.windows = Windows(time.time)
        self.shadow = Shadow(self.lanes, self.windows)
        self.spool = Spool(config.folder / "spool", self.boot, SPOOL_MAX_BATCHES, self.peers.is_alive)
        self.spooled = asyncio.Event()  # windows wait to be sent
        self.drift = DriftCounts(self.boot)
        self.request_log = RequestLog(config.folder / "requests", config.log_sink, self.drift.add_all)
        self.traces = Traces(config.traces, config.gateway_id) if config.traces else None
        self.news = asyncio.Event()  # something the site is to hear before the next poll is due
        self.tables: dict[str, CompiledTable] = {}
        self._unkept: set[str] = set()
        self.refused: dict[str, RefusedTable] = {}
        self.open_requests: dict[tuple[str, str], int] = {}
        self.requests_total = 0
        self.metrics = Metrics(self, config.gateway_id)

    @property
    def is_ready(self) -> bool:
        return bool(self.tables)

    def load_from_disk(self) -> None:
        """Begin with the last good tables, so that requests are answered while the site is away."""
        good, refused = kept_tables.load_all(self.config.folder / "routes")
        for table in good.values():
            self._use(compile_table(table))
        for environment, why in refused.items():
            log.error("table.refused", environment=environment, why=why, source="disk")
            self.metrics.table_refused(environment)

    def apply(self, document: Any) -> bool:
        """Use a table from the site; an invalid one is refused whole and the old one stays.

        Returns whether it is used.
        """
        try:
            table = compile_table(shapes.convert(RouteTable, document))
        except Malformed as error:
            self._refuse(document if isinstance(document, dict) else {}, shapes.cut(str(error)))
            return False
        self.refused.pop(table.environment, None)
        self._use(table)
        self._unkept.add(table.environment)
        return True

    def _refuse(self, document: dict[str, Any], why: str) -> None:
        """Note which revision is refused and why, as far as the document can be believed."""
        environment, revision = str(document.get("environment", "?"))[:NAME_MAX_CHARS], document.get("revision")
        log.error("table.refused", environment=environment, why=why, source="site")
        if type(revision) is not int or not 0 <= revision <= shapes.REVISION_MAX:
            revision = 0
        self.refused[environment] = RefusedTable(revision, why)
        self.metrics.table_refused(environment)

    def keep(self) -> None:
        """Keep on disk what was applied.

        What the disk does not take is obeyed all the same, and kept when this is called again.
        """
        for environment in sorted(self._unkept & set(self.tables)):
            try:
                kept_tables.save(self.config.folder / "routes", self.tables[environment].source)
            except OSError as error:
                log.error("table.not_kept", environment=environment, why=str(error))
            else:
                self._unkept.discard(environment)

    def _use(self, table: CompiledTable) -> None:
        self.tables[table.environment] = table
        self._lay_lanes(table.environment)
        log.info("table.applied", environment=table.environment, revision=table.revision)

    def _lay_lanes(self, environment: str) -> None:
        """Bring the lanes of an environment to its table.

        What waits for an arm that gets no traffic any more is routed again, once all lanes are there.
        """
        table = self.tables.get(environment)
        withdrawn = {key: lane for key, lane in self.lanes.items() if key[0] == environment}
        unweighted: list[Lane] = []
        for route in table.endpoints.values() if table else ():
            for arm in route.arms:
                key = (environment, route.name, arm.arm, arm.version)
                withdrawn.pop(key, None)
                lane = self.lanes.get(key)
                if lane is None:
                    lane = self.lanes[key] = Lane(WindowKey(*key, arm.release), self.news.set)
                lane.configure(WindowKey(*key, arm.release), route, arm)
                if not arm.weight_pct:
                    unweighted.append(lane)
        for lane in unweighted:
            lane.move_waiting()
        for lane in withdrawn.values():
            lane.retire()

    def forget_all_but(self, environments: list[str]) -> None:
        """Forget environments that the site does not have any more, and lanes that are done.

        A site without any is being set up: nothing is forgotten.
        """
        for environment in [name for name in self.tables if environments and name not in environments]:
            del self.tables[environment]
            self._lay_lanes(environment)
            kept_tables.forget(self.config.folder / "routes", environment)
        for key in [key for key, lane in self.lanes.items() if lane.is_done]:
            del self.lanes[key]

    def in_flight(self) -> dict[str, int]:
        """Replica id → open requests, also of replicas that no table names any more."""
        counts: dict[str, int] = {}
        for lane in self.lanes.values():
            for replica, open_requests in lane.replicas.in_flight().items():
                counts[replica] = counts.get(replica, 0) + open_requests
        return counts

    def routed_replicas(self) -> set[str]:
        """The ids of the replicas that some table names."""
        return {
            replica.id
            for table in self.tables.values()
            for route in table.endpoints.values()
            for arm in route.arms
            for replica in arm.replicas
        }

    def close(self) -> None:
        """Close all connections to workers at the end of the process."""
        for lane in self.lanes.values():
            lane.close()
