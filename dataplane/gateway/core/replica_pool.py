"""The replicas of a lane: which takes the next batch, which have failed lately, which are draining."""

import time
from collections.abc import Callable

from dataplane.gateway.config import PIPELINE
from dataplane.gateway.core.compiled_table import ArmRoute
from dataplane.gateway.core.worker_connection import WorkerConnection, least_busy


class ReplicaPool:
    """The connections to the replicas of an arm, one each.

    `changed` is called when one can take more, or lost what it had; `ejected` when one failed.

    `ejections` maps replica id → how often it failed under the release of now, also when it is not among the replicas
    any more.
    """

    def __init__(self, changed: Callable[[WorkerConnection], None], ejected: Callable[[], None]) -> None:
        self.ejections: dict[str, int] = {}
        self._changed = changed
        self._on_ejected = ejected
        self._connections: dict[str, WorkerConnection] = {}
        self._draining: list[WorkerConnection] = []

    @property
    def is_empty(self) -> bool:
        return not self._connections

    @property
    def is_draining(self) -> bool:
        """Whether one that takes nothing more still has something open."""
        return bool(self._draining)

    @property
    def ejected(self) -> dict[str, float]:
        """Replica id → Unix time until which it is left alone."""
        now = time.time()
        return {
            connection.id: connection.ejected_until
            for connection in self._connections.values()
            if connection.is_ejected(now)
        }

    @property
    def is_any_reachable(self) -> bool:
        """Whether one is connected or may still be."""
        now = time.time()
        return any(
            connection.is_connected or connection.is_connecting or not connection.is_ejected(now)
            for connection in self._connections.values()
        )

    def in_flight(self) -> dict[str, int]:
        """Replica id → open requests, of all replicas that have some, also of those that are draining."""
        every = [*self._connections.values(), *self._draining]
        return {connection.id: connection.in_flight for connection in every if connection.in_flight}

    def configure(self, arm: ArmRoute) -> None:
        """Take an arm's replicas of a new route table; those that are not in it finish what they have."""
        wanted = {replica.id: replica.socket for replica in arm.replicas}
        for known in list(self._connections.values()):
            if wanted.get(known.id) != known.path:
                self._retire(self._connections.pop(known.id))
        for replica_id, path in wanted.items():
            if replica_id not in self._connections:
                self._connections[replica_id] = WorkerConnection(replica_id, path, self._changed, self._ejected)

    def _ejected(self, replica_id: str) -> None:
        self.ejections[replica_id] = self.ejections.get(replica_id, 0) + 1
        self._on_ejected()

    def retire(self) -> None:
        """Let all finish what they have."""
        for connection in self._connections.values():
            self._retire(connection)
        self._connections.clear()

    def _retire(self, connection: WorkerConnection) -> None:
        connection.is_retired = True
        if connection.in_flight:
            self._draining.append(connection)
        else:
            connection.close()

    def close_if_drained(self, connection: WorkerConnection) -> None:
        """Close a retired connection once nothing is open on it."""
        if not connection.in_flight:
            connection.close()
            if connection in self._draining:
                self._draining.remove(connection)

    def connect(self) -> bool:
        """Begin to connect before a request needs it; return whether each worker is connected or was given up."""
        now = time.time()
        for connection in self._connections.values():
            if not connection.is_ejected(now):
                connection.connect()
        return not any(connection.is_connecting for connection in self._connections.values())

    def next(self) -> WorkerConnection | None:
        """Return an open connection with room; begin to connect when there is none."""
        now = time.time()
        usable = [connection for connection in self._connections.values() if not connection.is_ejected(now)]
        connected = [connection for connection in usable if connection.is_connected]
        ready = [connection for connection in connected if connection.outstanding < PIPELINE]
        for connection in usable:
            connection.connect()
        if ready:
            return least_busy(ready)
        if self.is_empty or connected or any(connection.is_connecting for connection in usable):
            return None
        # The last one is never given up: when all are ejected, the one whose time is nearest is tried again.
        last = min(self._connections.values(), key=lambda connection: connection.ejected_until)
        if last.is_connected:
            return last if last.outstanding < PIPELINE else None
        last.connect()
        return None

    def close(self) -> None:
        """Close all connections at the end of the process."""
        for connection in [*self._connections.values(), *self._draining]:
            connection.close()
