"""Requests through the application: keys, limits, routing, failures of workers, and what is counted."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dataplane.gateway.site import poll
from dataplane.gateway.state import State
from dataplane.wire.window_batch import Window
from tests.dataplane.gateway.conftest import FOREIGN_KEY, OLD_KEY, FrameWorker, call, table
from tests.support.waiting import auntil

PATH = "/production/endpoints/e/invocations"
SLOW_S = 1.0
SWITCH_EVERY_S = 0.002
type_Start = Callable[..., Awaitable[FrameWorker]]


async def serve(
    state: State, start: type_Start, *, weight: int = 0, one: Any = None, two: Any = None, **endpoint: Any
) -> None:
    """Start both workers and apply a table that routes to them."""
    first = await start("1", *([one] if one else []))
    second = await start("2", *([two] if two else []))
    state.apply(table(weight=weight, sockets={"1": str(first.path), "2": str(second.path)}, **endpoint))


async def counted(state: State) -> list[Window]:
    """The windows of everything that was answered so far."""
    return state.windows.take(everything=True)


async def test_invocation__good_key__answered_with_who_answered(state: State, start_worker: type_Start) -> None:
    await serve(state, start_worker)
    answer = await call(state, "POST", PATH, b'{"a": 1}', x_request_id="my-request-1")

    assert (answer.status, answer.json) == (200, {"got": 8})
    assert answer.headers["x-mlorch-version"] == "1"
    assert answer.headers["x-mlorch-arm"] == "stable"
    assert answer.headers["x-mlorch-release"] == "rel-1"
    assert answer.headers["x-request-id"] == "my-request-1"
    state.close()


@pytest.mark.parametrize(("key", "status"), [("", 401), ("mlk_wrong", 401), (OLD_KEY, 401), (FOREIGN_KEY, 403)])
async def test_invocation__no_right_key__refused_before_any_worker(state: State, key: str, status: int) -> None:
    state.apply(table())

    assert (await call(state, "POST", PATH, key=key)).status == status
    assert (await call(state, "POST", "/production/v2/models/e/infer", key=key)).status == status


async def test_invocation__without_key__unknown_endpoint_looks_like_a_known_one(state: State) -> None:
    state.apply(table())
    known, unknown = (
        await call(state, "POST", PATH, key=""),
        await call(state, "POST", PATH.replace("/e/", "/zz/"), key=""),
    )

    assert (known.status, known.body) == (unknown.status, unknown.body)


async def test_invocation__unknown_endpoint_with_key__404(state: State) -> None:
    state.apply(table())

    assert (await call(state, "POST", PATH.replace("/e/", "/zz/"))).status == 404


async def test_invocation__too_large__413_and_mlflows_form(state: State) -> None:
    state.apply(table())
    answer = await call(state, "POST", PATH, b"x" * 1001)

    assert answer.status == 413
    assert answer.json["error_code"] == "BAD_REQUEST"


async def test_invocation__worker_too_slow__504_counted_as_timeout(state: State, start_worker: type_Start) -> None:
    async def slow(header: Any, body: bytes) -> dict[str, Any]:
        await asyncio.sleep(SLOW_S)
        return {"status": 200}

    await serve(state, start_worker, one=slow, timeout_ms=30)
    answer = await call(state, "POST", PATH)

    assert answer.status == 504
    assert answer.headers["x-mlorch-arm"] == "stable"
    assert [(w.timeouts, w.requests) for w in await counted(state)] == [(1, 1)]
    state.close()


async def test_invocation__worker_dies_in_the_middle__502_counted_on_its_arm(
    state: State, start_worker: type_Start
) -> None:
    async def die(header: Any, body: bytes) -> None:
        return None

    await serve(state, start_worker, weight=100, two=die)
    answer = await call(state, "POST", PATH)

    assert answer.status == 502
    (window,) = await counted(state)
    assert (window.arm, window.version, window.server_errors) == ("candidate", "2", 1)
    state.close()


async def test_invocation__no_worker_listens__503_with_retry_after(state: State) -> None:
    state.apply(table())
    answer = await call(state, "POST", PATH)

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def test_invocation__model_failed_with_mlflows_400__counts_against_the_version(
    state: State, start_worker: type_Start
) -> None:
    async def failing(header: Any, body: bytes) -> dict[str, Any]:
        return {"status": 400, "outcome": "server_error"}

    await serve(state, start_worker, one=failing)
    answer = await call(state, "POST", PATH)

    assert (answer.status, answer.headers["x-mlorch-outcome"]) == (400, "server_error")
    assert [(w.server_errors, w.client_errors) for w in await counted(state)] == [(1, 0)]
    state.close()


async def test_invocation__too_many_open__429_and_counted_as_rejected(state: State, start_worker: type_Start) -> None:
    gate = asyncio.Event()

    async def wait(header: Any, body: bytes) -> dict[str, Any]:
        await gate.wait()
        return {"status": 200}

    await serve(state, start_worker, one=wait, max_in_flight=1)
    first = asyncio.create_task(call(state, "POST", PATH))
    await auntil(state.in_flight, "the worker has the request")
    refused = await call(state, "POST", PATH)
    gate.set()

    assert (refused.status, (await first).status) == (429, 200)
    assert sum(w.rejected for w in await counted(state)) == 1
    state.close()


async def test_unit__same_unit__always_the_same_arm_and_draws_are_told_apart(
    state: State, start_worker: type_Start
) -> None:
    await serve(state, start_worker, weight=50)
    versions = {(await call(state, "POST", PATH, x_mlorch_unit="anna")).headers["x-mlorch-version"] for _ in range(10)}
    await call(state, "POST", PATH)

    assert len(versions) == 1
    windows = await counted(state)
    assert sum(w.requests for w in windows) == 11
    assert sum(w.drawn for w in windows) == 1
    state.close()


async def test_oip__version_in_the_address__answers_and_is_not_counted(state: State, start_worker: type_Start) -> None:
    await serve(state, start_worker, weight=10)
    answer = await call(state, "POST", "/production/v2/models/e/versions/2/infer")

    assert answer.headers["x-mlorch-version"] == "2"
    assert (await call(state, "POST", "/production/v2/models/e/versions/9/infer")).status == 404
    assert await counted(state) == []
    state.close()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/production/v2", 200),
        ("/production/v2/health/live", 200),
        ("/production/v2/health/ready", 200),
        ("/production/v2/models/e/ready", 200),
        ("/production/v2/models/e/versions/7/ready", 503),
        ("/production/v2/zzz", 404),
        ("/x/y/z/w", 404),
        (PATH, 405),
    ],
)
async def test_get__each_address__has_its_status(state: State, path: str, status: int) -> None:
    state.apply(table())

    assert (await call(state, "GET", path)).status == status


async def test_readyz__no_table_yet__503(state: State) -> None:
    assert (await call(state, "GET", "/readyz")).status == 503


async def test_table_switch__under_load__nothing_fails(state: State, start_worker: type_Start) -> None:
    first, second = await start_worker("1"), await start_worker("2")
    sockets = {"1": str(first.path), "2": str(second.path)}
    statuses: list[int] = []

    async def client() -> None:
        for _ in range(60):
            statuses.append((await call(state, "POST", PATH)).status)
            await asyncio.sleep(0)

    async def switch() -> None:
        for revision in range(2, 60):
            state.apply(table(revision, weight=revision % 2 * 100, sockets=sockets, max_in_flight=100))
            await asyncio.sleep(SWITCH_EVERY_S)

    state.apply(table(1, sockets=sockets, max_in_flight=100))
    await asyncio.gather(switch(), *(client() for _ in range(8)))

    assert set(statuses) == {200}
    assert {w.version for w in await counted(state)} == {"1", "2"}
    state.close()


async def test_poll_report__request_open_on_a_removed_replica__is_told_and_polls_soon(
    state: State, start_worker: type_Start
) -> None:
    until = asyncio.Event()

    async def wait(header: Any, body: bytes) -> dict[str, Any]:
        await until.wait()
        return {"status": 200}

    await serve(state, start_worker, weight=100, two=wait)
    open_request = asyncio.create_task(call(state, "POST", PATH))
    await auntil(state.in_flight, "the worker has the request")
    withdrawn = table(2)
    withdrawn["endpoints"]["e"]["arms"] = [{**withdrawn["endpoints"]["e"]["arms"][1], "weight_pct": 100}]
    state.apply(withdrawn)
    report = poll.poll_report(state)
    until.set()
    answer = await open_request

    assert report.in_flight == {"r-2": 1}
    assert report.have == {"production": 2}
    assert report.wait_s == 1
    assert (answer.status, answer.headers["x-mlorch-version"]) == (200, "2")
    assert state.in_flight() == {}
    state.close()
