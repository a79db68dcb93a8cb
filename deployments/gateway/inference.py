"""One inference request: key, route, worker, count. Knows no HTTP beyond the status a worker gives."""

import time
from typing import Any, NamedTuple

from deployments.gateway import errors, router
from deployments.gateway.errors import Refusal
from deployments.gateway.state import State
from deployments.gateway.tables import ArmRoute, EndpointRoute, Key
from deployments.gateway.windows import WindowKey
from deployments.gateway.workers import Lost, NotSent, TimedOut


class Call(NamedTuple):
    """What a client asks: the operation for the worker with its header, and how the arm is to be chosen."""

    environment: str
    endpoint: str
    header: dict[str, Any]
    body: bytes
    unit: str
    version: str  # named in the URL; empty to let the routes decide


class Outcome(NamedTuple):
    """An answer of a worker, with the arm that gave it."""

    status: int
    content_type: str
    body: bytes
    arm: ArmRoute
    outcome: str


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
    """Answer one request. Raises Refusal when no worker answered."""
    place = (call.environment, call.endpoint)
    arm, counted, drawn = _choose(route, call)
    key = WindowKey(call.environment, call.endpoint, arm.arm, arm.version, arm.release)
    if state.open_requests.get(place, 0) >= route.max_in_flight:
        if counted:
            state.windows.reject(key)
        raise errors.too_many(route.max_in_flight)
    state.open_requests[place] = state.open_requests.get(place, 0) + 1
    state.requests_total += 1
    began = time.perf_counter()
    outcome = "server_errors"
    try:
        header, body = await _ask(state, route, arm, call)
        outcome = _outcome(header)
        return Outcome(int(header["status"]), str(header.get("content_type", "application/json")), body, arm, outcome)
    except TimedOut:
        outcome = "timeouts"
        raise _of(arm, errors.timed_out(route.timeout_ms)) from None
    except Lost:
        raise _of(arm, errors.worker_lost()) from None
    except NotSent:
        raise _of(arm, errors.no_replica(route.name)) from None
    finally:
        state.open_requests[place] -= 1
        _count(state, key, outcome, time.perf_counter() - began, counted, drawn)


def arm_headers(arm: ArmRoute) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that name who answered."""
    return (
        (b"x-mlorch-version", arm.version.encode()),
        (b"x-mlorch-arm", arm.arm.encode()),
        (b"x-mlorch-release", arm.release.encode()),
    )


def _of(arm: ArmRoute, refusal: Refusal) -> Refusal:
    return Refusal(refusal.status, refusal.code, refusal.message, (*refusal.headers, *arm_headers(arm)))


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


async def _ask(state: State, route: EndpointRoute, arm: ArmRoute, call: Call) -> tuple[dict[str, Any], bytes]:
    """Ask the least busy replica; another one only when the first was never reached."""
    timeout_s = route.timeout_ms / 1000
    replicas = router.replicas_in_order(arm, state.workers.in_flight)
    for target in replicas[:2]:
        try:
            return await state.workers.ask(target.id, target.socket, call.header, call.body, timeout_s)
        except NotSent:
            continue
    raise NotSent


def _outcome(header: dict[str, Any]) -> str:
    told = {"client_error": "client_errors", "server_error": "server_errors"}.get(header.get("outcome", ""))
    if told:
        return told
    status = int(header["status"])
    if status < 400:
        return "ok"
    return "client_errors" if status < 500 else "server_errors"


def _count(state: State, key: WindowKey, outcome: str, seconds: float, counted: bool, drawn: bool) -> None:
    labels = key[:4]
    state.metrics.requests.labels(*labels, outcome).inc()
    state.metrics.latency.labels(*labels).observe(seconds)
    if counted:
        state.windows.record(key, outcome, seconds * 1000, drawn)
