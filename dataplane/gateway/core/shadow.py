"""Shadow traffic: a share of the answered requests is asked of one more version too, whose answers nobody gets.

It begins after the client has its answer, has its own bound, and only ever counts: in the windows of the arm `shadow`.
"""

import asyncio
import time
from collections import deque
from typing import NamedTuple

from dataplane.gateway.core import answer_diff, router
from dataplane.gateway.core.answer_diff import AnswerDiff
from dataplane.gateway.core.compiled_table import ArmRoute, EndpointRoute
from dataplane.gateway.core.lanes import Lane
from dataplane.gateway.core.pending_request import Moved, PendingRequest, TimedOut, WorkerAnswer, outcome_of
from dataplane.gateway.site.windows import WindowKey, Windows
from dataplane.wire.frames import RequestHeader

SHADOW = "shadow"
OPEN_MAX = 64  # mirrored requests of one endpoint that wait for their answer
OPEN_MAX_BYTES = 32 * 1024 * 1024  # of requests and kept answers, in the whole process
COMPARED_MAX_BYTES = 64 * 1024  # of an answer; larger ones are counted, not compared
PENDING_MAX = 500
COMPARE_EVERY_S = 0.1
COMPARED_AT_ONCE = 25  # about a millisecond of the processor, so that serving does not feel it

type_Place = tuple[str, str]  # environment, endpoint
type_Lanes = dict[tuple[str, str, str, str], Lane]


class Mirrored(NamedTuple):
    """A request whose client has its answer: `body` and `header_length` are that answer's."""

    environment: str
    route: EndpointRoute
    header: RequestHeader
    request: bytes
    unit: str
    status: int
    body: bytes
    header_length: int | None

    @property
    def place(self) -> type_Place:
        return self.environment, self.route.name

    @property
    def size(self) -> int:
        return len(self.request) + len(self.body)


class Pair(NamedTuple):
    """Two answers of status 200 to one request."""

    key: WindowKey
    primary: answer_diff.type_Answer
    shadow: answer_diff.type_Answer


class Shadow:
    """The mirrored requests of one gateway process.

    `open_requests` has, per endpoint, how many wait for their answer; `dropped` counts those that found no room or no
    replica.
    """

    def __init__(self, lanes: type_Lanes, windows: Windows) -> None:
        self.dropped: dict[type_Place, int] = {}
        self.open_requests: dict[type_Place, int] = {}
        self._lanes = lanes
        self._windows = windows
        self._open_bytes = 0
        self._pending: deque[Pair] = deque()
        self._comparing: asyncio.Task[None] | None = None

    def open_copies(self, environment: str, endpoint: str) -> int:
        """How many mirrored requests wait for their answer."""
        return self.open_requests.get((environment, endpoint), 0)

    def mirror(self, request: Mirrored) -> None:
        """Ask the shadow arm in a later turn of the event loop, when the request is in its share."""
        arm = request.route.shadow
        if arm is None or request.header.op == "stream":
            return
        bucket, evidence = _buckets(request)
        if not _is_in_share(bucket, arm.mirror_pct):
            return
        place = request.place
        is_full = self.open_requests.get(place, 0) >= OPEN_MAX or self._open_bytes + request.size > OPEN_MAX_BYTES
        lane = self._lanes.get((*place, arm.arm, arm.version))
        if is_full or lane is None:
            self._drop(place)
            return
        self.open_requests[place] = self.open_requests.get(place, 0) + 1
        self._open_bytes += request.size
        asyncio.get_running_loop().call_soon(self._submit, request, arm, lane, evidence)

    def _drop(self, place: type_Place) -> None:
        self.dropped[place] = self.dropped.get(place, 0) + 1

    def _submit(self, request: Mirrored, arm: ArmRoute, lane: Lane, evidence: int | None) -> None:
        key = WindowKey(*request.place, SHADOW, arm.version, arm.release)
        since = time.perf_counter()

        def ended(answer: WorkerAnswer | None, error: Exception | None) -> None:
            self.open_requests[request.place] -= 1
            self._open_bytes -= request.size
            if isinstance(error, Moved):
                self._drop(request.place)
                return
            outcome = outcome_of(answer) if answer else "timeouts" if isinstance(error, TimedOut) else "server_errors"
            seconds = time.perf_counter() - since
            self._windows.record(key, outcome, seconds * 1000, False, evidence, request.route.units)
            if answer is not None:
                self._remember(key, request, answer)

        deadline = since + request.route.timeout_ms / 1000
        lane.submit(PendingRequest(request.header, request.request, since, deadline, ended))

    def _remember(self, key: WindowKey, request: Mirrored, answer: WorkerAnswer) -> None:
        """Keep two comparable answers until they are compared; what finds no room is not."""
        size = max(len(request.body), len(answer.body))
        if request.status == answer.status == 200 and size <= COMPARED_MAX_BYTES and len(self._pending) < PENDING_MAX:
            primary = (request.body, request.header_length)
            self._pending.append(Pair(key, primary, (answer.body, answer.header_length)))
            if self._comparing is None:
                self._comparing = asyncio.get_running_loop().create_task(self._compare())

    async def _compare(self) -> None:
        """Compare what is pending, in a thread and in small parts, until nothing is."""
        try:
            while self._pending:
                await asyncio.sleep(COMPARE_EVERY_S)
                pairs = [self._pending.popleft() for _ in range(min(COMPARED_AT_ONCE, len(self._pending)))]
                for pair, diff in zip(pairs, await asyncio.to_thread(_diffs, pairs), strict=True):
                    self._windows.compare(pair.key, diff.is_agreed, diff.difference_sum, diff.difference_max)
        finally:
            self._comparing = None


def _diffs(pairs: list[Pair]) -> list[AnswerDiff]:
    return [answer_diff.diff(pair.primary, pair.shadow) for pair in pairs]


def _buckets(request: Mirrored) -> tuple[int, int | None]:
    """The bucket that decides whether a request is mirrored, and the evidence bucket of its unit, if it has one."""
    return router.buckets_of(request.route.salt, request.unit) if request.unit else (router.drawn_bucket(), None)


def _is_in_share(bucket: int, mirror_pct: int) -> bool:
    """Whether a request is mirrored.

    Units keep to it; theirs are the highest buckets, those a candidate gets last.
    """
    return bucket >= router.BUCKETS - mirror_pct * router.BUCKETS_PER_PCT
