"""Lanes: the queue of one arm's version, and how its requests are put together for its replicas.

A request goes out at once when a worker is idle. While all are busy requests gather, up to the endpoint's bounds in
number and time: the batch grows with the load by itself, and without load nobody waits (adaptive micro-batching).
"""

import asyncio
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable

from dataplane.gateway.config import BATCH_MAX_BYTES, GATHER_TURNS_MAX, RETRY_SHARE, RETRY_TOKENS_MAX, SWEEP_S
from dataplane.gateway.core.compiled_table import ArmRoute, EndpointRoute
from dataplane.gateway.core.pending_request import ClientGone, Moved, NotSent, PendingRequest, RequestBatch, TimedOut
from dataplane.gateway.core.replica_pool import ReplicaPool
from dataplane.gateway.core.worker_connection import WorkerConnection
from dataplane.gateway.site.windows import WindowKey
from dataplane.wire.window_batch import OUTCOMES

LATENCY_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
TRIES_MAX = 2


class LaneCounts:
    """Plain numbers of a lane since the process began; read by metrics and pages."""

    __slots__ = (
        "batch_sizes",
        "batches",
        "dropped",
        "expired",
        "latency_buckets",
        "latency_sum_s",
        "outcomes",
        "retries",
        "sent_requests",
    )

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self.latency_buckets = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self.latency_sum_s = 0.0
        self.batch_sizes: dict[int, int] = {}
        self.batches = self.sent_requests = self.dropped = self.expired = self.retries = 0

    def answered(self, outcome: str, seconds: float) -> None:
        """Count one answered request."""
        self.outcomes[outcome] += 1
        self.latency_buckets[bisect_left(LATENCY_BOUNDS_S, seconds)] += 1
        self.latency_sum_s += seconds

    def sent(self, size: int) -> None:
        """Count one batch, by the next power of two of its size."""
        bound = 1 << (size - 1).bit_length()
        self.batches += 1
        self.sent_requests += size
        self.batch_sizes[bound] = self.batch_sizes.get(bound, 0) + 1


class RetryBudget:
    """Retries are a bounded share of the requests, so that they cannot multiply an overload."""

    def __init__(self) -> None:
        self._tokens = RETRY_TOKENS_MAX

    def earn(self) -> None:
        self._tokens = min(RETRY_TOKENS_MAX, self._tokens + RETRY_SHARE)

    def spend(self) -> bool:
        """Take one more retry; return whether there was one."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Lane:
    """One arm's version in one endpoint: its queue, its replicas, its counts.

    `ejected` is called when a replica failed.
    """

    def __init__(self, key: WindowKey, ejected: Callable[[], None]) -> None:
        self.key = key
        self.counts = LaneCounts()
        self.budget = RetryBudget()
        self.replicas = ReplicaPool(self._connection_changed, ejected)
        self.is_retired = False
        self._max_batch = 1
        self._max_delay_s = 0.0
        self._waiting: deque[PendingRequest] = deque()
        self._open: dict[PendingRequest, None] = {}
        self._pump_due = False
        self._turns = self._waited_for = 0
        self._sweeping: asyncio.TimerHandle | None = None
        self._delaying: asyncio.TimerHandle | None = None

    @property
    def queued(self) -> int:
        return len(self._waiting)

    def configure(self, key: WindowKey, route: EndpointRoute, arm: ArmRoute) -> None:
        """Take the replicas and bounds of a new route table; replicas that are not in it finish what they have."""
        if key.release != self.key.release:
            self.replicas.ejections.clear()
        self.key, self._max_batch, self._max_delay_s = key, route.max_batch_rows, route.max_batch_delay_ms / 1000
        self.is_retired = False
        self.replicas.configure(arm)
        self.pump()

    def retire(self) -> None:
        """Take nothing more; what waits goes where the routes of now say, what is sent is finished."""
        self.is_retired = True
        self.move_waiting()
        self.replicas.retire()

    def move_waiting(self) -> None:
        """Hand back the requests that no worker has yet."""
        waiting, self._waiting = self._waiting, deque()
        for request in waiting:
            request.fail(Moved())

    @property
    def is_done(self) -> bool:
        """Whether a retired lane has nothing open any more."""
        return self.is_retired and not self.replicas.is_draining and not self._open

    def submit(self, request: PendingRequest) -> None:
        """Take a request; its end comes with NotSent, Lost, TimedOut, ClientGone or Moved when it is not an answer."""
        if self.is_retired:
            request.fail(Moved())
            return
        self.budget.earn()
        request.open_in = self._open
        self._open[request] = None
        self._waiting.append(request)
        self._pump_soon()
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def _pump_soon(self) -> None:
        """Send after this turn of the event loop: what arrives in it goes into the same batch."""
        if not self._pump_due:
            self._pump_due = True
            self._turns = 0
            self._waited_for = 0
            asyncio.get_running_loop().call_soon(self._pump_when_quiet)

    def _pump_when_quiet(self) -> None:
        """Send once a turn has brought nothing new, or after `GATHER_TURNS_MAX` turns.

        A turn takes microseconds, a batch much longer.
        """
        arrived = len(self._waiting)
        if arrived > self._waited_for and self._turns < GATHER_TURNS_MAX:
            self._waited_for = arrived
            self._turns += 1
            asyncio.get_running_loop().call_soon(self._pump_when_quiet)
        else:
            self.pump()

    def pump(self) -> None:
        """Send what can be sent now."""
        self._pump_due = False
        while self._waiting:
            if self._waiting[0].is_ended:
                self._waiting.popleft()
                continue
            connection = self.replicas.next()
            if connection is None:
                if self.replicas.is_empty:
                    self._fail_waiting()
                return
            bound = min(self._max_batch, connection.max_batch)
            if connection.outstanding and len(self._waiting) < bound and not self._is_due():
                return
            if requests := self._take(bound):
                self.counts.sent(len(requests))
                connection.send(RequestBatch(requests, self._unsent))

    def _fail_waiting(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for request in waiting:
            request.fail(NotSent())

    def _is_due(self) -> bool:
        """Whether the oldest waiting request has waited its bound; otherwise look again then."""
        left_s = self._waiting[0].since + self._max_delay_s - time.perf_counter()
        if left_s <= 0:
            return True
        if self._delaying is None:
            self._delaying = asyncio.get_running_loop().call_later(left_s, self._delay_over)
        return False

    def _delay_over(self) -> None:
        self._delaying = None
        self.pump()

    def _take(self, bound: int) -> list[PendingRequest]:
        """The next requests of one kind that still have somebody waiting."""
        waiting = self._waiting
        requests: list[PendingRequest] = []
        kind, size = waiting[0].kind, 0
        is_stream = kind.op == "stream"
        while waiting and len(requests) < bound:
            request = waiting[0]
            if request.kind != kind or (requests and (is_stream or size + len(request.body) > BATCH_MAX_BYTES)):
                break
            waiting.popleft()
            if not request.is_ended:
                requests.append(request)
                size += len(request.body)
        return requests

    def _unsent(self, requests: list[PendingRequest]) -> None:
        """Queue again what its worker never began, within the budget; nobody is asked more than `TRIES_MAX` times."""
        for request in reversed(requests):
            request.sent_to = None
            request.tries += 1
            if request.tries < TRIES_MAX and not self.is_retired and self.budget.spend():
                self.counts.retries += 1
                self._waiting.appendleft(request)
            else:
                request.fail(NotSent())

    def _connection_changed(self, connection: WorkerConnection) -> None:
        if connection.is_retired:
            self.replicas.close_if_drained(connection)
            return
        if self._waiting and not connection.is_connected and not self.replicas.is_any_reachable:
            self._fail_waiting()
            return
        self._pump_soon()

    def _sweep(self) -> None:
        """End what is past its deadline."""
        self._sweeping = None
        now = time.perf_counter()
        # All are looked at: what came from another arm is older than what was here already.
        for request in [request for request in self._open if now >= request.deadline]:
            self.counts.expired += 1
            request.cancel()
            request.fail(TimedOut())
        if self._open:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def drop(self, request: PendingRequest) -> None:
        """Forget a request whose client is gone."""
        if not request.is_ended:
            self.counts.dropped += 1
            request.cancel()
            request.fail(ClientGone())

    def close(self) -> None:
        """Close all connections at the end of the process."""
        for timer in (self._sweeping, self._delaying):
            if timer is not None:
                timer.cancel()
        self.replicas.close()
