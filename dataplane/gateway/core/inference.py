"""One inference request: arm, lane, count. Knows no transport beyond the status a worker gives."""

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from dataplane.gateway import errors
from dataplane.gateway.config import MOVES_MAX
from dataplane.gateway.core import router
from dataplane.gateway.core.compiled_table import ArmRoute, EndpointRoute
from dataplane.gateway.core.lanes import Lane
from dataplane.gateway.core.pending_request import (
    ClientGone,
    Lost,
    Moved,
    NotSent,
    PendingRequest,
    TimedOut,
    WorkerAnswer,
    outcome_of,
)
from dataplane.gateway.core.shadow import Mirrored
from dataplane.gateway.errors import Refusal
from dataplane.gateway.site import request_log
from dataplane.gateway.site.log_entry import LogEntry
from dataplane.gateway.site.traced_request import TracedRequest
from dataplane.gateway.site.traces import Traces
from dataplane.gateway.site.windows import WindowKey
from dataplane.gateway.state import State, type_LaneKey
from dataplane.wire.frames import RequestHeader
from dataplane.wire.route_table import STABLE, TARGETED

TRACEPARENT = b"traceparent"
COUNTED_AS: dict[type, str] = {TimedOut: "timeouts", ClientGone: "client_errors"}


NO_HEADERS: Mapping[bytes, bytes] = MappingProxyType({})


class Call(NamedTuple):
    """What a client asks: the operation for the worker with its header, and how its arm is chosen. `headers` are those
    of the request, in lower case.
    """

    environment: str
    endpoint: str
    header: RequestHeader
    body: bytes
    unit: str
    version: str  # named in the URL; empty to let the routes decide
    id: bytes = b""
    headers: Mapping[bytes, bytes] = NO_HEADERS


class Outcome(NamedTuple):
    """An answer of a worker, with the arm that gave it. `parts` brings the rest of a streamed answer."""

    status: int
    content_type: str
    body: bytes
    arm: ArmRoute
    outcome: str
    header_length: int | None = None
    parts: "asyncio.Queue[bytes | None] | None" = None


type_End = Callable[[Outcome | None, Exception | None], None]
# The arm, whether the request counts in windows, the evidence bucket of its unit, None when it has none, and whether
# the request was chosen for the arm: then it counts apart.
type_Choice = tuple[ArmRoute, bool, int | None, bool]


def start(state: State, route: EndpointRoute, call: Call, end: type_End) -> "Inference":
    """Send a request on its way and return it. `end` is called once, with the outcome or with a Refusal or ClientGone.

    Raises Refusal when it cannot be sent; nothing was begun then, and `end` is not called.
    """
    choice = _choose(route, call)
    arm, is_counted, _, is_targeted = choice
    lane = state.lanes[(call.environment, call.endpoint, arm.arm, arm.version)]
    place = (call.environment, call.endpoint)
    open_requests = state.open_requests.get(place, 0)
    if open_requests >= route.max_in_flight:
        if is_counted:
            state.windows.reject(_counted_as(lane, is_targeted))
        raise errors.too_many(route.max_in_flight)
    state.open_requests[place] = open_requests + 1
    state.requests_total += 1
    return Inference(state, route, call, end, choice, lane)


async def infer(state: State, route: EndpointRoute, call: Call, running: "set[Inference] | None" = None) -> Outcome:
    """Answer one request. Raises Refusal when no worker answered, ClientGone when nobody wants the answer any more.

    While it runs it is in `running`, for the connection that drops what its client does not wait for any more.
    """
    ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def end(outcome: Outcome | None, error: Exception | None) -> None:
        if ended.done():
            return
        if outcome is not None:
            ended.set_result(outcome)
        elif error is not None:
            ended.set_exception(error)

    running = set() if running is None else running
    inference = start(state, route, call, end)
    running.add(inference)
    try:
        return await ended
    except asyncio.CancelledError:
        inference.drop()
        raise
    finally:
        running.discard(inference)


class Inference:
    """One started request until its outcome, which goes to `end`; made by `start`."""

    __slots__ = (
        "_arm",
        "_began",
        "_bucket",
        "_call",
        "_end",
        "_is_counted",
        "_is_second",
        "_is_targeted",
        "_lane",
        "_moves",
        "_pending",
        "_route",
        "_state",
    )

    def __init__(
        self, state: State, route: EndpointRoute, call: Call, end: type_End, choice: type_Choice, lane: Lane
    ) -> None:
        self._state = state
        self._route = route
        self._call = call
        self._end = end
        self._arm, self._is_counted, self._bucket, self._is_targeted = choice
        self._began = time.perf_counter()
        self._moves = 0
        self._is_second = False
        self._lane = lane
        self._pending = self._request()
        lane.submit(self._pending)

    def drop(self) -> None:
        """Say that nobody waits for the answer any more."""
        self._lane.drop(self._pending)

    def _request(self) -> PendingRequest:
        """What goes to a lane: the deadline is the same however often the request is sent on."""
        call = self._call
        deadline = self._began + self._route.timeout_ms / 1000
        return PendingRequest(call.header, call.body, self._began, deadline, self._ended)

    def _submit(self, lane: Lane) -> None:
        """Send the request on to another lane."""
        self._lane, self._pending = lane, self._request()
        lane.submit(self._pending)

    def _ended(self, answer: WorkerAnswer | None, error: Exception | None) -> None:
        if answer is not None:
            outcome = outcome_of(answer)
            self._count(outcome)
            status, content_type, body, _, header_length, parts = answer
            self._finish(Outcome(status, content_type, body, self._arm, outcome, header_length, parts), None)
        elif isinstance(error, Moved):
            self._move()
        elif not (isinstance(error, NotSent) and self._ask_stable()):
            # Who gave up waiting counts with the time he waited: else an arm would look better for being slow.
            self._count(COUNTED_AS.get(type(error), "server_errors"))
            self._finish(None, error if isinstance(error, ClientGone) else _of(self._arm, self._refusal(error)))

    def _refusal(self, error: Exception | None) -> Refusal:
        if isinstance(error, TimedOut):
            return errors.timed_out(self._route.timeout_ms)
        return errors.worker_lost() if isinstance(error, Lost) else errors.no_replica(self._route.name)

    def _finish(self, outcome: Outcome | None, error: Exception | None) -> None:
        self._state.open_requests[(self._call.environment, self._call.endpoint)] -= 1
        self._end(outcome, error)
        share = self._route.log_share
        if share and random.random() < share:  # noqa: S311 - a sample, no secret
            self._log(outcome, error)
        if self._state.traces is not None:
            self._trace(self._state.traces, outcome, error)
        if self._route.shadow is not None and self._is_counted and outcome is not None and outcome.parts is None:
            self._mirror(outcome)

    def _mirror(self, outcome: Outcome) -> None:
        """Let the shadow arm answer the request too. Its client has the answer already."""
        call = self._call
        self._state.shadow.mirror(
            Mirrored(
                call.environment,
                self._route,
                call.header,
                call.body,
                call.unit,
                outcome.status,
                outcome.body,
                outcome.header_length,
            )
        )

    def _trace(self, traces: Traces, outcome: Outcome | None, error: Exception | None) -> None:
        """Offer the request to the traces, if they want it. Its client has the answer already."""
        call, arm, batch = self._call, self._arm, self._pending.batch
        ended, traceparent = time.perf_counter(), call.headers.get(TRACEPARENT, b"")
        counted_as = _outcome_named(outcome, error)
        reason = traces.wants(ended - self._began, counted_as, traceparent)
        if not reason:
            return
        traces.offer(
            TracedRequest(
                reason=reason,
                ended_at=time.time(),
                seconds=ended - self._began,
                sent_s=batch.sent_at - self._began if batch else None,
                took_us=batch.took_us if batch else None,
                batch_size=len(batch.requests) if batch else 0,
                replica=batch.replica if batch else "",
                tries=self._pending.tries + 1,
                id=call.id,
                traceparent=traceparent,
                environment=call.environment,
                endpoint=call.endpoint,
                arm=arm.arm,
                version=arm.version,
                release=arm.release,
                op=call.header.op,
                status=_status_of(outcome, error),
                outcome=counted_as,
            )
        )

    def _log(self, outcome: Outcome | None, error: Exception | None) -> None:
        """Offer the request to the request log. Its client has the answer already."""
        call, arm = self._call, self._arm
        self._state.request_log.offer(
            LogEntry(
                at=request_log.now(),
                id=call.id.decode() or uuid.uuid4().hex,
                environment=call.environment,
                endpoint=call.endpoint,
                arm=arm.arm,
                version=arm.version,
                release=arm.release,
                op=call.header.op,
                content_type=_content_type(call),
                status=_status_of(outcome, error),
                outcome=_outcome_named(outcome, error),
                latency_ms=(time.perf_counter() - self._began) * 1000,
                request=call.body,
                answer_type=outcome.content_type if outcome else "application/json",
                answer=outcome.body if outcome else b"",
                hidden=self._route.log_redacted,
            )
        )

    def _count(self, outcome: str) -> None:
        seconds = time.perf_counter() - self._began
        self._lane.counts.answered(outcome, seconds)
        if self._is_counted:
            bucket, basis = self._bucket, self._route.units
            is_drawn = bucket is None and not self._is_targeted
            key = _counted_as(self._lane, self._is_targeted)
            self._state.windows.record(key, outcome, seconds * 1000, is_drawn, bucket, basis)

    def _move(self) -> None:
        """Choose again: the arm was withdrawn before any worker had the request."""
        self._moves += 1
        table = self._state.tables.get(self._call.environment)
        route = table.endpoints.get(self._call.endpoint) if table else None
        if route is None:
            self._finish(None, errors.unknown_endpoint(self._call.endpoint, self._call.environment))
            return
        self._route = route
        try:
            self._arm, is_counted, self._bucket, self._is_targeted = _choose(route, self._call)
        except Refusal as refusal:
            self._finish(None, refusal)
            return
        # Its failure on another arm is counted already: the answer is counted on none.
        self._is_counted = is_counted and not self._is_second
        if self._moves > MOVES_MAX:
            self._finish(None, _of(self._arm, errors.no_replica(route.name)))
            return
        self._submit(self._state.lanes[self._lane_key(self._arm)])

    def _lane_key(self, arm: ArmRoute) -> type_LaneKey:
        return self._call.environment, self._call.endpoint, arm.arm, arm.version

    def _ask_stable(self) -> bool:
        """Ask the stable arm in the place of one that could not be reached, if policy and retry budget allow it.

        Returns whether it is asked. The failure stays counted on the arm that failed, the answer is counted on neither.
        """
        route = self._route
        if self._is_second or not route.retry_on_stable or self._arm.arm == STABLE or self._call.version:
            return False
        stable = next((arm for arm in route.arms if arm.arm == STABLE), None)
        lane = self._state.lanes.get(self._lane_key(stable)) if stable is not None else None
        if stable is None or lane is None or not lane.budget.spend():
            return False
        self._count("server_errors")
        self._is_second, self._is_counted, self._arm = True, False, stable
        self._submit(lane)
        return True


def _status_of(outcome: Outcome | None, error: Exception | None) -> int:
    """The HTTP status that the client gets, 0 when there is nobody any more to get one."""
    return outcome.status if outcome else error.status if isinstance(error, Refusal) else 0


def _outcome_named(outcome: Outcome | None, error: Exception | None) -> str:
    if outcome:
        return outcome.outcome
    if isinstance(error, Refusal) and error.status == errors.TIMED_OUT:
        return "timeouts"
    return COUNTED_AS.get(type(error), "server_errors")


def _of(arm: ArmRoute, refusal: Refusal) -> Refusal:
    return Refusal(refusal.status, refusal.code, refusal.message, (*refusal.headers, *arm.headers))


def _choose(route: EndpointRoute, call: Call) -> type_Choice:
    if call.version:
        named = router.arm_of_version(route, call.version)
        if named is None:
            raise errors.unknown_version(route.name, call.version)
        return named, False, None, False
    if route.targets is not None and router.is_targeted(route.targets, call.headers, call.unit):
        evidence = router.buckets_of(route.salt, call.unit)[1] if call.unit else None
        return route.targets.arm, True, evidence, True
    if call.unit:
        bucket, evidence = router.buckets_of(route.salt, call.unit)
        return router.arm_for(route, bucket), True, evidence, False
    return router.arm_for(route, router.drawn_bucket()), True, None, False


def _counted_as(lane: Lane, is_targeted: bool) -> WindowKey:
    """Where a request counts: chosen ones apart, for they are no sample of the traffic."""
    return lane.key._replace(arm=TARGETED) if is_targeted else lane.key


def _content_type(call: Call) -> str:
    """The content type of a request; a body with binary tensors is no JSON."""
    if call.header.header_length is not None:
        return "application/octet-stream"
    return "application/json" if call.header.op == "infer" else call.header.content_type
