"""What the gateway does with answers of the site, whatever they are, and with a disk that takes nothing."""

import asyncio
import contextlib
import copy
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from dataplane.gateway.config import GatewayConfig
from dataplane.gateway.site import kept_tables, loops, poll
from dataplane.gateway.site.spool import Spool
from dataplane.gateway.state import State
from dataplane.wire import shapes
from dataplane.wire.gateway_poll import PollAnswer, PollReport, RefusedTable
from dataplane.wire.route_table import RouteTable
from dataplane.wire.window_batch import WindowBatch
from tests.dataplane.gateway.conftest import call, table, window
from tests.support.waiting import auntil

ENVIRONMENTS = ["development", "production"]
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 200)
    | st.integers(min_value=10**300)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["production", "stable", "*", "unix:/x", "a\r\nb: c", "../../etc"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every part of a document."""
    yield path
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(part, (*path, key))


def with_junk(document: Any, path: tuple[Any, ...], junk: Any) -> Any:
    if not path:
        return junk
    changed = copy.deepcopy(document)
    part = changed
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = junk
    return changed


ANSWER = {
    "tables": [table(revision=8, weight=10, log={"share_pct": 1.0, "redacted": ["a"]})],
    "environments": ENVIRONMENTS,
}


def obey(state: State, answer: Any) -> float:
    """Let a gateway obey an answer as it comes over the wire. Raises ValueError when it is none."""
    return poll.obey(state, shapes.read(PollAnswer, json.dumps(answer).encode()))


@given(path=st.sampled_from(sorted(places(ANSWER), key=repr)), junk=JUNK)
def test_obey__any_part_of_the_answer_is_junk__old_table_or_a_whole_new_one_and_the_next_poll_is_accepted(
    tmp_path_factory: Any, path: tuple[Any, ...], junk: Any
) -> None:
    state = State(GatewayConfig("g1", "127.0.0.1", 0, "http://127.0.0.1:1", "token", tmp_path_factory.mktemp("data")))
    obey(state, {"tables": [table(revision=7)], "environments": ENVIRONMENTS})
    with contextlib.suppress(ValueError):
        obey(state, with_junk(ANSWER, path, junk))
    again = State(state.config)
    again.load_from_disk()

    if "production" not in state.tables:  # only the site's own word takes an environment away
        assert path[:1] in ((), ("environments",))
    assert all(shapes.convert(RouteTable, shapes.plain(used.source)) == used.source for used in state.tables.values())
    assert again.tables == state.tables
    reported = shapes.read(PollReport, shapes.write(poll.poll_report(state)))
    assert reported.have == {name: used.revision for name, used in state.tables.items()}


@pytest.mark.parametrize(
    "answer", [[], None, {}, {"tables": {}, "environments": []}, {"tables": [], "environments": [1]}]
)
def test_obey__no_answer_to_a_poll__is_refused_whole(state: State, answer: Any) -> None:
    state.apply(table(revision=3))
    with pytest.raises(shapes.Malformed):
        obey(state, answer)
    assert state.tables["production"].revision == 3


def test_obey__site_without_environments__nothing_is_forgotten(state: State) -> None:
    obey(state, {"tables": [table(revision=3)], "environments": ENVIRONMENTS})
    obey(state, {"tables": [], "environments": []})
    assert state.tables["production"].revision == 3


def test_obey__refused_table__next_poll_waits_a_little(state: State) -> None:
    answer = {"tables": [table(revision=3)], "environments": ENVIRONMENTS}
    assert obey(state, answer) == 0
    assert obey(state, {**answer, "tables": [{"revision": "x"}]}) > 0
    assert state.refused["?"] == RefusedTable(0, "Expected `int`, got `str` - at `$.revision`")


def test_obey__disk_is_full__is_obeyed_and_kept_as_soon_as_there_is_room(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(kept_tables, "save", full)
        obey(state, {"tables": [table(revision=3)], "environments": ENVIRONMENTS})
    assert state.tables["production"].revision == 3
    assert not (state.config.folder / "routes").exists()

    obey(state, {"tables": [], "environments": ENVIRONMENTS})
    assert kept_tables.load(state.config.folder / "routes" / "production.json").revision == 3


def test_windows__disk_is_full__are_counted_as_dropped_and_spooled_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "spool", "boot", 10)
    (tmp_path / "spool").write_text("a file in the folder's place")
    spool.add([window(1), window(2)])
    (tmp_path / "spool").unlink()
    spool.add([window(3)])
    (path,) = spool.waiting()

    assert spool.read(path) == WindowBatch("boot", 1, [window(3)], dropped_windows=2)


async def test_poll__replica_is_ejected_while_the_site_has_nothing_new__hears_of_it_at_once(state: State) -> None:
    polls: list[dict[str, Any]] = []
    told = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        polls.append(await request.json())
        if any(lane["ejections"] for lane in polls[-1]["stats"]["lanes"]):
            told.set()
        is_first = len(polls) == 1
        if not is_first:
            await asyncio.Event().wait()
        return web.json_response({"tables": [table(weight=100)] if is_first else [], "environments": ENVIRONMENTS})

    application = web.Application()
    application.router.add_post("/internal/v1/gateways/g1/poll", answer)
    async with TestServer(application) as server, aiohttp.ClientSession() as session:
        state.config = dataclasses.replace(state.config, control_url=str(server.make_url("")).rstrip("/"))
        polling = asyncio.create_task(poll.poll_forever(state, session))
        await auntil(lambda: len(polls) == 2, "a poll is open", seen=lambda: polls)
        refused = await call(state, "POST", "/production/endpoints/e/invocations")
        await auntil(told.is_set, "the site hears of the ejection", seen=lambda: polls)
        polling.cancel()
    state.close()

    assert refused.status == 503
    assert len(polls) == 3
    assert polls[1]["have"] == polls[2]["have"] == {"production": 1}


async def test_kept_up__loop_fails__begins_again_and_it_is_counted(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "BACKOFF_MAX_S", 0)
    runs, twice = [], asyncio.Event()

    async def loop() -> None:
        runs.append(1)
        if len(runs) == 2:
            twice.set()
        raise RuntimeError("nobody foresaw this")

    task = asyncio.create_task(loops.kept_up(state, "poll", loop))
    await auntil(twice.is_set, "the loop has begun again")
    task.cancel()

    assert state.metrics.loops_failed["poll"] >= 1
    assert b'loop="poll"' in state.metrics.render()
