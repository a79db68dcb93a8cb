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

from dataplane.gateway.config import Config
from dataplane.gateway.site import kept_tables, poll, windows
from dataplane.gateway.state import State
from deployments.processes.gateway_reports import read
from tests.dataplane.gateway.conftest import call, table

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


@given(path=st.sampled_from(sorted(places(ANSWER), key=repr)), junk=JUNK)
def test_obey__any_part_of_the_answer_is_junk__old_table_or_a_whole_new_one_and_the_next_poll_is_accepted(
    tmp_path_factory: Any, path: tuple[Any, ...], junk: Any
) -> None:
    state = State(Config("g1", "127.0.0.1", 0, "http://127.0.0.1:1", "token", tmp_path_factory.mktemp("data")))
    poll.obey(state, {"tables": [table(revision=7)], "environments": ENVIRONMENTS})
    with contextlib.suppress(ValueError):
        poll.obey(state, with_junk(ANSWER, path, junk))
    again = State(state.config)
    again.load_from_disk()

    if "production" not in state.tables:  # only the site's own word takes an environment away
        assert path[:1] in ((), ("environments",))
    assert all(kept_tables.parse(used.document) == used for used in state.tables.values())
    assert again.tables == state.tables
    assert read(json.loads(json.dumps(poll.poll_body(state))))["applied"] == {
        name: used.revision for name, used in state.tables.items()
    }


@pytest.mark.parametrize(
    "answer", [[], None, {}, {"tables": {}, "environments": []}, {"tables": [], "environments": [1]}]
)
def test_obey__no_answer_to_a_poll__is_refused_whole(state: State, answer: Any) -> None:
    state.apply(table(revision=3))
    with pytest.raises(ValueError, match="the site's answer"):
        poll.obey(state, answer)
    assert state.tables["production"].revision == 3


def test_obey__site_without_environments__nothing_is_forgotten(state: State) -> None:
    poll.obey(state, {"tables": [table(revision=3)], "environments": ENVIRONMENTS})
    poll.obey(state, {"tables": [], "environments": []})
    assert state.tables["production"].revision == 3


def test_obey__refused_table__next_poll_waits_a_little(state: State) -> None:
    answer = {"tables": [table(revision=3)], "environments": ENVIRONMENTS}
    assert poll.obey(state, answer) == 0
    assert poll.obey(state, {**answer, "tables": [{"revision": "x"}]}) > 0
    assert state.refused["?"] == {"revision": 0, "error": "malformed: KeyError 'format'"}


def test_obey__disk_is_full__is_obeyed_and_kept_as_soon_as_there_is_room(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(kept_tables, "save", full)
        poll.obey(state, {"tables": [table(revision=3)], "environments": ENVIRONMENTS})
    assert state.tables["production"].revision == 3
    assert not (state.config.folder / "routes").exists()

    poll.obey(state, {"tables": [], "environments": ENVIRONMENTS})
    assert kept_tables.load(state.config.folder / "routes" / "production.json").revision == 3


def test_windows__disk_is_full__are_counted_as_dropped_and_spooled_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = windows.Spool(tmp_path / "spool", "boot", 10)
    (tmp_path / "spool").write_text("a file in the folder's place")
    spool.add([{"n": 1}, {"n": 2}])
    (tmp_path / "spool").unlink()
    spool.add([{"n": 3}])
    (path,) = spool.waiting()

    assert spool.read(path) == {"boot": "boot", "sequence": 1, "windows": [{"n": 3}], "dropped_windows": 2}


async def test_poll__replica_is_ejected_while_the_site_has_nothing_new__hears_of_it_at_once(state: State) -> None:
    polls: list[dict[str, Any]] = []
    told = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        polls.append(await request.json())
        if any(lane["ejections"] for lane in polls[-1]["stats"]["lanes"]):
            told.set()
        is_first = len(polls) == 1
        await asyncio.sleep(0 if is_first else 60)
        return web.json_response({"tables": [table(weight=100)] if is_first else [], "environments": ENVIRONMENTS})

    application = web.Application()
    application.router.add_post("/internal/v1/gateways/g1/poll", answer)
    async with TestServer(application) as server, aiohttp.ClientSession() as session:
        state.config = dataclasses.replace(state.config, control_url=str(server.make_url("")).rstrip("/"))
        polling = asyncio.create_task(poll.poll_forever(state, session))
        async with asyncio.timeout(5):
            while len(polls) < 2:
                await asyncio.sleep(0.01)
            refused = await call(state, "POST", "/production/endpoints/e/invocations")
            await told.wait()
        polling.cancel()
    state.close()

    assert refused.status == 503
    assert len(polls) == 3
    assert polls[1]["have"] == polls[2]["have"] == {"production": 1}


async def test_kept_up__loop_fails__begins_again_and_it_is_counted(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll, "BACKOFF_MAX_S", 0)
    runs, twice = [], asyncio.Event()

    async def loop() -> None:
        runs.append(1)
        if len(runs) == 2:
            twice.set()
        raise RuntimeError("nobody foresaw this")

    task = asyncio.create_task(poll.kept_up(state, "poll", loop))
    await asyncio.wait_for(twice.wait(), 5)
    task.cancel()

    assert state.metrics.loops_failed["poll"] >= 1
    assert b'loop="poll"' in state.metrics.render()
