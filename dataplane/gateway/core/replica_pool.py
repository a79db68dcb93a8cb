"""The replicas of a lane: which takes the next batch, which have failed lately, which are leaving."""

import time
from collections.abc import Callable

from dataplane.gateway.config import PIPELINE
from dataplane.gateway.core.worker_connection import Replica, least_busy
from dataplane.wire.route_table import ReplicaAddress


class Replicas:
    """`changed` is called when one can take more, or lost what it had; `ejected` when one failed.

    `ejections` maps replica id → how often it failed under the release of now, also when it is not among the replicas any more.
    """

    def __init__(self, changed: Callable[[Replica], None], ejected: Callable[[], None]) -> None:
        self.ejections: dict[str, int] = {}
        self._changed = changed
        self._tell_ejected = ejected
        self._replicas: dict[str, Replica] = {}
        self._leaving: list[Replica] = []

    @property
    def is_empty(self) -> bool:
        return not self._replicas

    @property
    def is_any_leaving(self) -> bool:
        """Return whether one that takes nothing more still has something open."""
        return bool(self._leaving)

    @property
    def ejected(self) -> dict[str, float]:
        """Replica id → Unix time until which it is left alone."""
        now = time.time()
        return {replica.id: replica.ejected_until for replica in self._replicas.values() if replica.is_ejected(now)}

    @property
    def has_hope(self) -> bool:
        """Return whether one is connected or may still be."""
        now = time.time()
        return any(
            replica.is_connected or replica.is_connecting or not replica.is_ejected(now)
            for replica in self._replicas.values()
        )

    def in_flight(self) -> dict[str, int]:
        """Return replica id → open requests, of all replicas that have some, also of those that are leaving."""
        every = [*self._replicas.values(), *self._leaving]
        return {replica.id: replica.in_flight for replica in every if replica.in_flight}

    def configure(self, targets: tuple[ReplicaAddress, ...]) -> None:
        """Take the replicas of a new route table; those that are not in it finish what they have."""
        wanted = {target.id: target.socket for target in targets}
        for known in list(self._replicas.values()):
            if wanted.get(known.id) != known.path:
                self._let_go(self._replicas.pop(known.id))
        for target in targets:
            if target.id not in self._replicas:
                self._replicas[target.id] = Replica(target.id, target.socket, self._changed, self._failed)

    def _failed(self, replica_id: str) -> None:
        self.ejections[replica_id] = self.ejections.get(replica_id, 0) + 1
        self._tell_ejected()

    def retire(self) -> None:
        """Let all go."""
        for replica in self._replicas.values():
            self._let_go(replica)
        self._replicas.clear()

    def _let_go(self, replica: Replica) -> None:
        replica.is_retired = True
        if replica.in_flight:
            self._leaving.append(replica)
        else:
            replica.close()

    def has_left(self, replica: Replica) -> bool:
        """Return whether the replica takes nothing more; its connection is closed once nothing is open."""
        if replica.is_retired and not replica.in_flight:
            replica.close()
            if replica in self._leaving:
                self._leaving.remove(replica)
        return replica.is_retired

    def connect(self) -> bool:
        """Begin to connect to the workers before a request needs them; return whether each is connected or was given up."""
        now = time.time()
        for replica in self._replicas.values():
            if not replica.is_ejected(now):
                replica.connect()
        return not any(replica.is_connecting for replica in self._replicas.values())

    def next(self) -> Replica | None:
        """Return a connected replica with room; begin to connect when there is none."""
        now = time.time()
        usable = [replica for replica in self._replicas.values() if not replica.is_ejected(now)]
        connected = [replica for replica in usable if replica.is_connected]
        ready = [replica for replica in connected if replica.outstanding < PIPELINE]
        for replica in usable:
            replica.connect()
        if ready:
            return least_busy(ready)
        if self.is_empty or connected or any(replica.is_connecting for replica in usable):
            return None
        # The last one is never given up: when all are ejected, the one whose time is nearest is tried again.
        last = min(self._replicas.values(), key=lambda replica: replica.ejected_until)
        if last.is_connected:
            return last if last.outstanding < PIPELINE else None
        last.connect()
        return None

    def close(self) -> None:
        """Close all connections at the end of the process."""
        for replica in [*self._replicas.values(), *self._leaving]:
            replica.close()
