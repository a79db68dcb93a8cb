"""What is counted per unit bucket: whole, in the bucket of the unit, and only while versions are compared."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dataplane.gateway.core.compiled_table import UnitBasis
from dataplane.gateway.core.router import BUCKETS, buckets_of
from dataplane.gateway.site.windows import WindowKey, Windows
from dataplane.gateway.state import State
from dataplane.wire import shapes
from dataplane.wire.histogram import Histogram, place_of
from dataplane.wire.window_batch import UNIT_BUCKETS, Window
from tests.dataplane.gateway.conftest import FrameWorker, call, fine, table
from tests.support.waiting import auntil

PATH = "/production/endpoints/e/invocations"
KEY = WindowKey("production", "e", "candidate", "2", "rel-2")
UNITS = [f"unit-{number}" for number in range(30)]
type_Start = Callable[..., Awaitable[FrameWorker]]


def basis(*slos_ms: float, salt: str = "salt") -> UnitBasis:
    return UnitBasis(salt, slos_ms, tuple(place_of(slo_ms) for slo_ms in slos_ms))


async def served(state: State, start: type_Start, behaviour: Any = fine, weight: int = 50, **route: Any) -> None:
    """Apply a table of both versions, the second one with `behaviour`."""
    workers = [await start("1", max_batch=8), await start("2", behaviour, max_batch=8)]
    sockets = {str(number): str(worker.path) for number, worker in enumerate(workers, 1)}
    state.apply(table(weight=weight, sockets=sockets, **{"max_in_flight": 500, **route}))


def counted(windows: list[Window], arm: str) -> dict[int, list[int]]:
    """The buckets of an arm over all windows; reading each as the site does."""
    sums: dict[int, list[int]] = {}
    for window in windows:
        units = shapes.convert(Window, shapes.plain(window)).units
        if window.arm == arm and units is not None:
            for bucket, counts in units.buckets.items():
                before = sums.get(bucket, [0] * len(counts))
                sums[bucket] = [one + other for one, other in zip(before, counts, strict=True)]
    return sums


def test_buckets_of__evidence_bucket__is_spread_evenly_whatever_the_arm() -> None:
    found = [buckets_of("salt", f"unit-{number}") for number in range(40_000)]
    for arm in (lambda bucket: bucket < BUCKETS // 10, lambda bucket: bucket >= BUCKETS // 10):
        spread = Counter(evidence for bucket, evidence in found if arm(bucket))
        expected = sum(spread.values()) / UNIT_BUCKETS
        chi2 = sum((spread[bucket] - expected) ** 2 / expected for bucket in range(UNIT_BUCKETS))
        assert chi2 < 120, "63 degrees of freedom: more is less likely than 1 in 10,000"


async def test_windows__sticky_units__each_in_its_bucket_with_its_errors(
    state: State, start_worker: type_Start
) -> None:
    async def failing_for_some(header: Any, body: bytes) -> dict[str, Any]:
        return {"status": 500 if body.endswith((b"1", b"2")) else 422 if body.endswith(b"3") else 200}

    await served(state, start_worker, failing_for_some)
    wanted: dict[str, Counter[tuple[int, str]]] = {"candidate": Counter(), "stable": Counter()}
    for unit in UNITS * 2:
        arm = (await call(state, "POST", PATH, unit.encode(), x_mlorch_unit=unit)).headers["x-mlorch-arm"]
        evidence = buckets_of("salt", unit)[1]
        wanted[arm][evidence, "requests"] += 1
        if arm == "candidate":
            wanted[arm][evidence, "errors"] += unit[-1] in "12"
            wanted[arm][evidence, "client_errors"] += unit[-1] == "3"
    await call(state, "POST", PATH)  # without a unit
    windows = state.windows.take(everything=True)

    for arm, counts in wanted.items():
        assert counted(windows, arm) == {
            bucket: [counts[bucket, "requests"], counts[bucket, "errors"], counts[bucket, "client_errors"]]
            for bucket in {bucket for bucket, _ in counts}
        }
    assert sum(window.requests for window in windows) == len(UNITS) * 2 + 1
    assert sum(window.drawn for window in windows) == 1


async def test_windows__only_the_stable_arm__nothing_per_unit(state: State, start_worker: type_Start) -> None:
    workers = [await start_worker("1"), await start_worker("2")]
    document = table(sockets={str(number): str(worker.path) for number, worker in enumerate(workers, 1)})
    document["endpoints"]["e"]["arms"] = document["endpoints"]["e"]["arms"][1:]
    state.apply(document)
    await call(state, "POST", PATH, x_mlorch_unit="ana")

    assert [window.units for window in state.windows.take(everything=True)] == [None]


async def test_windows__mirrored__counts_in_the_bucket_of_the_unit_that_it_copies(
    state: State, start_worker: type_Start
) -> None:
    workers = [await start_worker("1"), await start_worker("2")]
    document = table(sockets={str(number): str(worker.path) for number, worker in enumerate(workers, 1)})
    document["endpoints"]["e"]["arms"][0] |= {"arm": "shadow", "weight_pct": 0, "mirror_pct": 100}
    state.apply(document)
    for unit in ("ana", "ana", "ben"):
        await call(state, "POST", PATH, x_mlorch_unit=unit)
        await auntil(lambda: not state.shadow.open_copies("production", "e"), "the copy is answered")
    windows = state.windows.take(everything=True)
    requests = Counter(buckets_of("salt", unit)[1] for unit in ("ana", "ana", "ben"))

    assert counted(windows, "shadow") == counted(windows, "stable")
    assert {bucket: counts[0] for bucket, counts in counted(windows, "shadow").items()} == requests


async def test_windows__slow_and_given_up__counted_as_slow_and_failed(state: State, start_worker: type_Start) -> None:
    async def silent(header: Any, body: bytes) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    await served(state, start_worker, silent, weight=100, timeout_ms=60, slos_ms=[30.0, 30_000.0])
    assert (await call(state, "POST", PATH, x_mlorch_unit="ana")).status == 504

    assert counted(state.windows.take(everything=True), "candidate") == {buckets_of("salt", "ana")[1]: [1, 1, 0, 1, 0]}


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.0001, 6e5))
def test_record__any_latencies__as_many_are_slow_as_by_the_histogram(latencies: list[float], slo_ms: float) -> None:
    windows = Windows(lambda: 1000.0)
    histogram = Histogram()
    for latency_ms in latencies:
        windows.record(KEY, "ok", latency_ms, False, 5, basis(slo_ms))
        histogram.add(latency_ms)
    (window,) = windows.take(everything=True)

    assert window.units is not None
    assert window.units.buckets == {5: [len(latencies), 0, 0, histogram.count_over(slo_ms)]}
    assert shapes.convert(Window, shapes.plain(window)).units == window.units


def test_record__another_salt_in_the_same_second__older_buckets_are_forgotten() -> None:
    windows = Windows(lambda: 1000.0)
    windows.record(KEY, "ok", 1.0, False, 5, basis())
    windows.record(KEY, "ok", 1.0, False, 5, basis())
    windows.record(KEY, "server_errors", 1.0, False, 6, basis(salt="other"))
    (window,) = windows.take(everything=True)

    assert window.requests == 3
    assert window.units is not None
    assert window.units.buckets == {6: [1, 1, 0]}


async def test_chosen_requests__go_to_the_candidate_and_count_apart(state: State, start_worker: type_Start) -> None:
    digest = hashlib.sha256(b"s:ada").hexdigest()
    targets = {"arm": "candidate", "headers": {"x-tenant": ["acme"]}, "salt": "s", "units": [digest]}
    await served(state, start_worker, weight=0, targets=targets)

    by_header = await call(state, "POST", PATH, b"1", x_tenant="acme")
    by_unit = await call(state, "POST", PATH, b"1", x_mlorch_unit="ada")
    others = [await call(state, "POST", PATH, b"1", x_tenant="Acme"), await call(state, "POST", PATH, b"1")]
    windows = state.windows.take(everything=True)
    requests = Counter[str]()
    for window in windows:
        requests[window.arm] += window.requests

    assert [answer.headers["x-mlorch-arm"] for answer in (by_header, by_unit)] == ["candidate"] * 2
    assert [answer.headers["x-mlorch-arm"] for answer in others] == ["stable"] * 2
    assert requests == {"targeted": 2, "stable": 2}
    assert sum(window.drawn for window in windows if window.arm == "targeted") == 0
    assert sum(counts[0] for counts in counted(windows, "targeted").values()) == 1, "the one with a unit"
