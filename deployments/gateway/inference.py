"""One inference request: key, route, lane, count. Knows no HTTP beyond the status a worker gives."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from deployments.gateway import errors, router
from deployments.gateway.config import MOVES_MAX
from deployments.gateway.errors import Refusal
from deployments.gateway.lanes import Lane
from deployments.gateway.state import State
from deployments.gateway.tables import STABLE, ArmRoute, EndpointRoute, Key
from deployments.gateway.tickets import ClientGone, Lost, Moved, NotSent, Ticket, TimedOut, WorkerAnswer

OUTCOME_OF = {"client_error": "client_errors", "server_error": "server_errors"}


class Call(NamedTuple):
    """What a client asks: the operation for the worker with its header (`op` first), and how the arm is to be chosen.

    `gone` returns when the client has gone away; without it nobody is watched.
    """

    environment: str
    endpoint: str
    header: dict[str, Any]
    body: bytes
    unit: str
    version: str  # named in the URL; empty to let the routes decide
    gone: Callable[[], Awaitable[None]] | None = None


class Outcome(NamedTuple):
    """An answer of a worker, with the arm that gave it. `parts` brings the rest of a streamed answer."""

    status: int
    content_type: str
    body: bytes
    arm: ArmRoute
    outcome: str
    header_length: int | None = None
    parts: "asyncio.Queue[bytes | None] | None" = None


def route_for(state: State, environment: str, endpoint: str, key: Key | None) -> EndpointRoute:
    """Return the endpoint's route when `key` opens it. Raises Refusal (401, 403, 404) and says nothing without a key."""
    table = state.tables.get(environment)
    if key is None:
        raise errors.no_key()
    if not key.opens(endpoint):
        raise errors.foreign_key(endpoint)
    route = table.endpoints.get(endpoint) if table else None
    if route is None:
        raise errors.unknown_endpoint(endpoint, environment)
    return route


def key_for(state: State, environment: str, digest: str, now: float) -> Key | None:
    """Return the live key with this digest in the environment's table, if there is one."""
    table = state.tables.get(environment)
    key = table.keys.get(digest) if table else None
    if key is None or (key.expires_at is not None and key.expires_at <= now):
        return None
    return key


async def infer(state: State, route: EndpointRoute, call: Call) -> Outcome:
    """Answer one request. Raises Refusal when no worker answered, ClientGone when nobody wants the answer any more."""
    place = (call.environment, call.endpoint)
    if state.open_requests.get(place, 0) >= route.max_in_flight:
        arm, counted, _ = _choose(route, call)
        if counted:
            state.windows.reject(_lane(state, call, arm).key)
        raise errors.too_many(route.max_in_flight)
    state.open_requests[place] = state.open_requests.get(place, 0) + 1
    state.requests_total += 1
    began = time.perf_counter()
    try:
        for _ in range(MOVES_MAX):
            try:
                return await _attempt(state, route, call, began)
            except Moved:
                route = _route_of_now(state, call)
        raise errors.no_replica(route.name)
    finally:
        state.open_requests[place] -= 1


def _route_of_now(state: State, call: Call) -> EndpointRoute:
    table = state.tables.get(call.environment)
    route = table.endpoints.get(call.endpoint) if table else None
    if route is None:
        raise errors.unknown_endpoint(call.endpoint, call.environment)
    return route


def _lane(state: State, call: Call, arm: ArmRoute) -> Lane:
    return state.lanes[(call.environment, call.endpoint, arm.arm, arm.version)]


async def _attempt(state: State, route: EndpointRoute, call: Call, began: float) -> Outcome:
    """Ask the arm that the routes choose. Raises Moved when it was withdrawn before any worker was asked."""
    arm, counted, drawn = _choose(route, call)
    lane = _lane(state, call, arm)
    outcome = "server_errors"
    try:
        answer = await _ask(state, lane, route, call, began)
        outcome = _outcome(answer)
        status, content_type, body, _, header_length, parts = answer
        return Outcome(status, content_type, body, arm, outcome, header_length, parts)
    except Moved:
        outcome = ""
        raise
    except TimedOut:
        outcome = "timeouts"
        raise _of(arm, errors.timed_out(route.timeout_ms)) from None
    except (ClientGone, asyncio.CancelledError):
        # Who gave up waiting counts with the time he waited: else an arm would look better for being slow.
        outcome = "client_errors"
        raise
    except Lost:
        raise _of(arm, errors.worker_lost()) from None
    except NotSent:
        if not route.retry_on_stable or arm.arm == STABLE or call.version:
            raise _of(arm, errors.no_replica(route.name)) from None
        return await _ask_stable(state, route, call, began)
    finally:
        if outcome:
            _count(state, lane, outcome, time.perf_counter() - began, counted, drawn)


async def _ask_stable(state: State, route: EndpointRoute, call: Call, began: float) -> Outcome:
    """Ask the stable arm for one that could not be reached. The failure stays counted on the other arm, the answer on neither."""
    arm = next((arm for arm in route.arms if arm.arm == STABLE), None)
    if arm is None or not _lane(state, call, arm).budget.spend():
        raise errors.no_replica(route.name)
    try:
        answer = await _ask(state, _lane(state, call, arm), route, call, began)
    except TimedOut:
        raise _of(arm, errors.timed_out(route.timeout_ms)) from None
    except Lost:
        raise _of(arm, errors.worker_lost()) from None
    except (NotSent, Moved):
        raise _of(arm, errors.no_replica(route.name)) from None
    return Outcome(*answer[:3], arm, _outcome(answer), answer.header_length, answer.parts)


async def _ask(state: State, lane: Lane, route: EndpointRoute, call: Call, began: float) -> WorkerAnswer:
    ticket = Ticket(tuple(call.header.items()), call.body, began, began + route.timeout_ms / 1000)
    if call.gone is not None:
        gone = call.gone

        def watch() -> None:
            watcher = asyncio.create_task(_drop_when_gone(gone, lane, ticket))
            state.watchers.add(watcher)
            watcher.add_done_callback(state.watchers.discard)

        ticket.on_wait = watch
    return await lane.ask(ticket)


async def _drop_when_gone(gone: Callable[[], Awaitable[None]], lane: Lane, ticket: Ticket) -> None:
    await gone()
    lane.drop(ticket)


def arm_headers(arm: ArmRoute) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that name who answered."""
    return arm.headers


def _of(arm: ArmRoute, refusal: Refusal) -> Refusal:
    return Refusal(refusal.status, refusal.code, refusal.message, (*refusal.headers, *arm.headers))


def _choose(route: EndpointRoute, call: Call) -> tuple[ArmRoute, bool, bool]:
    """Return the arm, whether the request counts in windows, and whether its bucket was drawn."""
    if call.version:
        named = router.arm_of_version(route, call.version)
        if named is None:
            raise errors.unknown_version(route.name, call.version)
        return named, False, False
    if call.unit:
        return router.arm_for(route, router.bucket_of(route.salt, call.unit)), True, False
    return router.arm_for(route, router.drawn_bucket()), True, True


def _outcome(answer: WorkerAnswer) -> str:
    if answer.status < 400 and answer.outcome is None:
        return "ok"
    told = OUTCOME_OF.get(answer.outcome or "")
    return told or ("client_errors" if answer.status < 500 else "server_errors")


def _count(state: State, lane: Lane, outcome: str, seconds: float, counted: bool, drawn: bool) -> None:
    lane.counts.answered(outcome, seconds)
    if counted:
        state.windows.record(lane.key, outcome, seconds * 1000, drawn)
