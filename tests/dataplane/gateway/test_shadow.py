"""Shadow traffic: asked after the client has its answer, bounded, compared, and never felt by the client."""

import asyncio
import json
from array import array
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dataplane.gateway.core import shadow
from dataplane.gateway.core.answer_diff import DIFFERENCE_MAX, AnswerDiff, diff
from dataplane.gateway.core.router import BUCKETS, buckets_of
from dataplane.gateway.state import State
from dataplane.wire import shapes
from tests.dataplane.gateway.conftest import FrameWorker, call, fine, table
from tests.support.waiting import auntil

PATH = "/production/endpoints/e/invocations"
type_Start = Callable[..., Awaitable[FrameWorker]]


async def mirrored(
    state: State, start: type_Start, second: Any = fine, mirror_pct: int = 100, **route: Any
) -> list[FrameWorker]:
    """Start both workers, the second one as a shadow with `mirror_pct`, and apply their table."""
    workers = [await start("1", max_batch=8), await start("2", second, max_batch=8)]
    sockets = {str(number): str(worker.path) for number, worker in enumerate(workers, 1)}
    document = table(sockets=sockets, **{"max_in_flight": 500, **route})
    document["endpoints"]["e"]["arms"][0] |= {"arm": "shadow", "weight_pct": 0, "mirror_pct": mirror_pct}
    state.apply(document)
    return workers


async def asked(worker: FrameWorker, count: int) -> None:
    """Return when the worker has been asked so often."""
    await auntil(lambda: len(worker.seen) >= count, f"{count} copies are asked", seen=lambda: len(worker.seen))


async def nothing_open(state: State) -> None:
    """Return when no copy waits for its answer."""
    await auntil(lambda: not copies(state), "no copy is open", seen=lambda: copies(state))


def copies(state: State) -> int:
    return state.shadow.open_copies("production", "e")


def windows(state: State, sums: dict[str, dict[str, float]] | None = None) -> dict[str, dict[str, float]]:
    """Return the sums of the open windows per arm, and take them; with `sums`, add to those."""
    sums = {} if sums is None else sums
    for window in state.windows.take(everything=True):
        arm = sums.setdefault(window.arm, {})
        for name, value in shapes.plain(window).items():
            if name != "start" and isinstance(value, int | float):
                arm[name] = arm.get(name, 0) + value
    return sums


def answers(document: Any) -> tuple[bytes, None]:
    return json.dumps(document).encode(), None


async def test_shadow__every_request_mirrored__counted_apart_and_compared(
    state: State, start_worker: type_Start
) -> None:
    workers = await mirrored(state, start_worker)
    statuses = [(await call(state, "POST", PATH, b"{}")).headers["x-mlorch-arm"] for _ in range(10)]
    await asked(workers[1], 10)
    sums: dict[str, dict[str, float]] = {}
    await auntil(
        lambda: windows(state, sums).get("shadow", {}).get("compared") == 10, "ten are compared", seen=lambda: sums
    )

    assert statuses == ["stable"] * 10
    assert (sums["stable"]["requests"], sums["shadow"]["requests"]) == (10, 10)
    assert (sums["shadow"]["compared"], sums["shadow"]["agreed"]) == (10, 10)
    assert sums["stable"]["compared"] == 0
    assert sums["shadow"]["drawn"] == 0


async def test_shadow__silent__clients_answer_comes_at_once_and_it_times_out_alone(
    state: State, start_worker: type_Start
) -> None:
    async def silent(header: Any, body: bytes) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    await mirrored(state, start_worker, silent, timeout_ms=2000)
    assert (await call(state, "POST", PATH)).status == 200
    assert copies(state) == 1
    assert state.open_requests[("production", "e")] == 0
    await nothing_open(state)
    sums = windows(state)

    assert (sums["stable"]["ok"], sums["shadow"]["timeouts"]) == (1, 1)
    assert sums["shadow"]["compared"] == 0


async def test_shadow__fails__client_unharmed_and_nothing_compared(state: State, start_worker: type_Start) -> None:
    async def broken(header: Any, body: bytes) -> dict[str, Any]:
        return {"status": 500}

    workers = await mirrored(state, start_worker, broken)
    assert (await call(state, "POST", PATH)).status == 200
    await asked(workers[1], 1)
    await nothing_open(state)
    sums = windows(state)

    assert (sums["stable"]["ok"], sums["shadow"]["server_errors"]) == (1, 1)
    assert sums["shadow"]["compared"] == 0


async def test_shadow__over_its_bound__dropped_and_counted(
    state: State, start_worker: type_Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = asyncio.Event()

    async def slow(header: Any, body: bytes) -> dict[str, Any]:
        await go_on.wait()
        return {"status": 200}

    monkeypatch.setattr(shadow, "OPEN_MAX", 3)
    workers = await mirrored(state, start_worker, slow)
    assert [(await call(state, "POST", PATH)).status for _ in range(8)] == [200] * 8
    assert state.shadow.dropped == {("production", "e"): 5}
    assert b'mlorch_gateway_shadow_dropped_requests_total{endpoint="e"' in state.metrics.render()
    go_on.set()
    await nothing_open(state)

    assert len(workers[1].seen) == 3


async def test_shadow__share_by_unit__highest_buckets_only(state: State, start_worker: type_Start) -> None:
    workers = await mirrored(state, start_worker, mirror_pct=30)
    units = [f"unit-{number}" for number in range(60)]
    for unit in units:
        await call(state, "POST", PATH, unit.encode(), x_mlorch_unit=unit)
    wanted = sum(buckets_of("salt", unit)[0] >= BUCKETS * 0.7 for unit in units)
    await nothing_open(state)

    assert len(workers[1].seen) == wanted
    assert 0 < wanted < 60


async def test_shadow__version_named_in_the_url__not_mirrored(state: State, start_worker: type_Start) -> None:
    workers = await mirrored(state, start_worker)
    path = "/production/v2/models/e/versions/1/infer"
    assert (await call(state, "POST", path)).status == 200
    assert not copies(state)

    assert not workers[1].seen


async def test_shadow__replicas_gone_from_the_table__no_mirroring(state: State, start_worker: type_Start) -> None:
    workers = await mirrored(state, start_worker)
    state.apply(table(2, sockets={"1": str(workers[0].path), "2": str(workers[1].path)}))
    assert (await call(state, "POST", PATH)).status == 200
    assert not copies(state)

    assert not workers[1].seen


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        ({"predictions": [1, 2.0]}, {"predictions": [1, 2.0000001]}, True),
        ({"predictions": [1, 2.0]}, {"predictions": [1, 2.1]}, False),
        ({"predictions": ["a", None]}, {"predictions": ["a", None]}, True),
        ({"predictions": ["a"]}, {"predictions": ["b"]}, False),
        ({"predictions": [True]}, {"predictions": [1]}, False),
        ({"predictions": [float("nan")]}, {"predictions": [float("nan")], "more": 1}, True),
        ({"predictions": [{"x": 1}]}, {"predictions": [{"y": 1}]}, False),
        ({"predictions": [1]}, {"predictions": [1, 2]}, False),
        ({"predictions": [10**400]}, {"predictions": [1.5]}, False),
    ],
)
def test_diff__predictions__agree_within_the_tolerance(one: Any, other: Any, wanted: bool) -> None:
    assert diff(answers(one), answers(other)).is_agreed is wanted


def test_diff__numbers_of_one_shape__sum_and_maximum_of_the_differences() -> None:
    found = diff(answers({"predictions": [[1, 2], [3, "a"]]}), answers({"predictions": [[1.5, 2], [1, "a"]]}))

    assert found == AnswerDiff(False, 2.5, 2.0)


@pytest.mark.parametrize("odd", [float("inf"), 1e300, 10**400])
def test_diff__boundless_difference__stays_finite(odd: float) -> None:
    assert diff(answers([1]), answers([odd])) == AnswerDiff(False, DIFFERENCE_MAX, DIFFERENCE_MAX)


@pytest.mark.parametrize("text", [b"no json", b"[" * 100_000, b'{"outputs": [{}]}', b"\xff"])
def test_diff__unreadable__agrees_only_with_itself(text: bytes) -> None:
    assert diff((text, None), (text, None)) == AnswerDiff(True)
    assert diff((text, None), answers([1])) == AnswerDiff(False)


def oip(version: str, values: list[float], *, is_binary: bool) -> tuple[bytes, int | None]:
    output: dict[str, Any] = {"name": "y", "shape": [len(values)], "datatype": "FP64"}
    raw = array("d", values).tobytes()
    output |= {"parameters": {"binary_data_size": len(raw)}} if is_binary else {"data": values}
    header = json.dumps({"model_version": version, "outputs": [output]}).encode()
    return (header + raw, len(header)) if is_binary else (header, None)


@pytest.mark.parametrize("is_binary", [True, False])
def test_diff__outputs_of_two_versions__only_their_data_count(is_binary: bool) -> None:
    one = oip("1", [1.0, 2.0], is_binary=is_binary)

    assert diff(one, oip("2", [1.0, 2.0], is_binary=not is_binary)) == AnswerDiff(True)
    assert diff(one, oip("2", [1.0, 2.25], is_binary=is_binary)) == AnswerDiff(False, 0.25, 0.25)
