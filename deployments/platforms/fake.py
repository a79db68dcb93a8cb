"""An agent and a gateway inside this process, over the same services the real ones call.

For tests and for trying strategies out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dataplane.wire.agent_sync import AgentReport, ReplicaObservation, ReplicaStatus
from dataplane.wire.gateway_poll import GatewayStats, LaneStats, PollReport, RefusedTable
from deployments.models import Replica
from deployments.processes.agents import agent_report
from deployments.processes.gateways import gateway_report, newer_tables


@dataclass
class FakePlatform:
    """Replicas become ready at the sync after they are wanted, tables are applied when they are fetched, unless told
    otherwise.

    `broken` maps a version number to the state its replicas report instead of `ready`, `ejected` to how often the
    gateway turned away from each; with `online` False the gateway does not speak; with `refuses` it keeps the tables it
    has and says this about newer ones.
    """

    name: str = "fake"
    gateway: str = "fake-gateway"
    online: bool = True
    refuses: str = ""
    broken: dict[int, ReplicaStatus] = field(default_factory=dict)
    ejected: dict[int, int] = field(default_factory=dict)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    in_flight: dict[str, int] = field(default_factory=dict)
    running: dict[str, ReplicaObservation] = field(default_factory=dict)
    refused: dict[str, RefusedTable] = field(default_factory=dict)

    def sync(self, now: datetime) -> None:
        """Let the agent report and obey, then the gateway acknowledge and fetch, each once more when it has something
        else to say after it: at one instant the same report changes nothing.
        """
        if self._agent(now):
            self._agent(now)
        if self.online and self._poll(now):
            self._poll(now)

    def weights(self, environment: str, endpoint: str) -> dict[str, int]:
        """Version → share of traffic, as the gateway obeys it now."""
        entry = self.tables.get(environment, {}).get("endpoints", {}).get(endpoint, {"arms": []})
        return {arm["version"]: arm["weight_pct"] for arm in entry["arms"]}

    def _agent(self, now: datetime) -> bool:
        """Report and obey once; return whether the next report is another."""
        before = self.running
        report = AgentReport(host="fake", replicas=list(before.values()))
        wanted = agent_report(agent=self.name, report=report, now=now)
        self.running = {replica.pk: self._replica(replica, before.get(replica.pk), now) for replica in wanted}
        return self.running != before

    def _replica(self, replica: Replica, before: ReplicaObservation | None, now: datetime) -> ReplicaObservation:
        state = self.broken.get(replica.version.number, "ready")
        is_ready = state == "ready"
        since = before.ready_at if before is not None and before.generation == replica.generation else None
        return ReplicaObservation(
            id=replica.pk,
            generation=replica.generation,
            state=state,
            message="" if is_ready else "It was told to.",
            address=f"unix:/fake/{replica.pk}.sock" if is_ready else "",
            ready_at=(since or now.timestamp()) if is_ready else None,
        )

    def _lanes(self) -> Iterator[LaneStats]:
        """Yield the lanes of which a gateway would have something to report."""
        for table in self.tables.values():
            for arm in [arm for entry in table["endpoints"].values() for arm in entry["arms"]]:
                if times := self.ejected.get(int(arm["version"])):
                    ejections = {row["id"]: times for row in arm["replicas"]}
                    yield LaneStats(release=arm["release"], ejections=ejections)

    def _poll(self, now: datetime) -> bool:
        """Report and fetch once; return whether the next report is another."""
        have = {name: table["revision"] for name, table in self.tables.items()}
        stats = GatewayStats(lanes=list(self._lanes()))
        report = PollReport(boot="fake", have=have, refused=self.refused, in_flight=self.in_flight, stats=stats)
        gateway_report(gateway=self.gateway, report=report, now=now)
        said, self.refused = self.refused, {}
        newer = newer_tables(have)
        for table in newer:
            if self.refuses:
                self.refused[table["environment"]] = RefusedTable(table["revision"], self.refuses)
            else:
                self.tables[table["environment"]] = table
        return self.refused != said or (bool(newer) and not self.refuses)
