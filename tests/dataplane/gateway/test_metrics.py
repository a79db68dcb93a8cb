"""Metrics: what they say after traffic, and one exposition for all processes that share a port."""

import asyncio
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dataplane.gateway.exposition import Exposition, merged
from dataplane.gateway.state import State
from tests.conftest import missing
from tests.dataplane.gateway.conftest import FrameWorker, call, table

PATH = "/production/endpoints/e/invocations"
type_Start = Callable[..., Awaitable[FrameWorker]]


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Return (sample name, labels' values sorted by label) → value."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def after_traffic(state: State, start: type_Start) -> str:
    """The exposition after three answers and two refusals."""
    worker = await start("1", max_batch=8)
    document = table(sockets={"1": str(worker.path), "2": "/nowhere/2.sock"})
    document["endpoints"]["e"]["arms"] = document["endpoints"]["e"]["arms"][1:]
    state.apply(document)
    state.apply({**document, "format": 2})
    for _ in range(3):
        await call(state, "POST", PATH)
    await call(state, "POST", PATH, key="wrong")
    await call(state, "POST", PATH, b"x" * 5000)
    return (await call(state, "GET", "/metrics")).body.decode()


async def test_metrics__after_traffic__tell_it(state: State, start_worker: type_Start) -> None:
    told = samples(await after_traffic(state, start_worker))
    lane = ("stable", "e", "production", "g1")

    assert told[("mlorch_gateway_requests_total", *lane, "ok", "1")] == 3
    assert told[("mlorch_gateway_request_duration_seconds_count", *lane, "1")] == 3
    assert told[("mlorch_gateway_request_duration_seconds_bucket", *lane, "+Inf", "1")] == 3
    assert told[("mlorch_gateway_batch_size_requests_count", *lane, "1")] == 3
    assert told[("mlorch_gateway_batch_size_requests_sum", *lane, "1")] == 3
    assert told[("mlorch_gateway_refusals_total", "g1", "401")] == 1
    assert told[("mlorch_gateway_refusals_total", "g1", "413")] == 1
    assert told[("mlorch_gateway_open_requests", "e", "production", "g1")] == 0
    assert told[("mlorch_gateway_route_table_revision", "production", "g1")] == 1
    assert told[("mlorch_gateway_route_tables_refused_total", "production", "g1")] == 1
    assert told[("mlorch_gateway_process_cpu_seconds_total", "g1")] > 0
    state.close()


@pytest.mark.slow
async def test_metrics__promtool__finds_nothing(state: State, start_worker: type_Start) -> None:
    if shutil.which("promtool") is None:
        missing("promtool")
    text = await after_traffic(state, start_worker)
    done = await asyncio.to_thread(
        subprocess.run, ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    state.close()


async def test_exposition__two_processes__whoever_is_asked_tells_of_both(state: State) -> None:
    other = State(replace(state.config, gateway_id="g2"))
    first, second = Exposition(state), Exposition(other)
    await first.start()
    await second.start()
    state.metrics.refused(401)
    other.metrics.refused(429)
    told = samples((await first.render()).decode())

    assert told[("mlorch_gateway_refusals_total", "g1", "401")] == 1
    assert told[("mlorch_gateway_refusals_total", "g2", "429")] == 1
    assert told[("mlorch_gateway_control_plane_connected", "g2")] == 0
    assert (await second.render()).count(b"# TYPE mlorch_gateway_refusals_total counter") == 1
    await first.stop()
    await second.stop()


async def test_exposition__successor_has_taken_the_place__the_old_process_leaves_it_there(state: State) -> None:
    old, new = Exposition(state), Exposition(State(state.config))
    await old.start()
    await new.start()
    await old.stop()
    asked = Exposition(State(replace(state.config, gateway_id="g2")))
    told = samples((await asked.render()).decode())

    assert told[("mlorch_gateway_control_plane_connected", "g1")] == 0
    await new.stop()
    assert not state.config.sockets.exists()


async def test_exposition__process_died__is_left_out_and_its_socket_removed(state: State) -> None:
    left_over = state.config.sockets / "g9.metrics.sock"
    own = Exposition(state)
    await own.start()
    server = await asyncio.start_unix_server(lambda reader, writer: None, path=str(left_over))
    server.close()
    await server.wait_closed()
    told = samples((await own.render()).decode())

    assert ("mlorch_gateway_control_plane_connected", "g1") in told
    assert not left_over.exists()
    await own.stop()


async def test_exposition__process_hangs__is_left_out_in_time_and_counted(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataplane.gateway.exposition.ASK_TIMEOUT_S", 0.05)
    own = Exposition(state)
    await own.start()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    server = await asyncio.start_unix_server(hang, path=str(state.config.sockets / "g9.metrics.sock"))
    told = samples((await own.render()).decode())
    server.close()

    assert told[("mlorch_gateway_peers_missed_total", "g1")] == 1
    await own.stop()


def test_merged__same_family_twice__once_with_all_samples() -> None:
    head = b"# HELP a Help.\n# TYPE a gauge\n"

    assert merged([head + b'a{g="1"} 1\n', head + b'a{g="2"} 2\n']) == head + b'a{g="1"} 1\na{g="2"} 2\n'
