"""The agent with real worker processes that need no model: start, crash, give up, adopt, end."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from dataplane.agent import replica_runner as replica_module
from dataplane.agent import worker_process
from dataplane.agent.config import AgentConfig
from dataplane.agent.loop import Agent
from dataplane.wire import shapes
from dataplane.wire.agent_sync import ReplicaGoal
from dataplane.wire.frames import AnswerHeader, RequestHeader, encode_frame, read_frame
from tests.support.folders import short_folder
from tests.support.waiting import auntil


@pytest.fixture
async def agent(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Agent]:
    monkeypatch.setattr(replica_module, "BACKOFF_FIRST_S", 0.01)
    with short_folder() as folder:
        config = AgentConfig("a1", "here", "http://127.0.0.1:1", "token", folder, 0.1, True, os.environ["PATH"])
        agent = Agent(config)
        agent.adopt()
        yield agent
        await agent.close()


def goal(agent: Agent, **changes: Any) -> ReplicaGoal:
    fields: dict[str, Any] = {
        "id": "r-1",
        "generation": 1,
        "model": "m",
        "version": "1",
        "digest": "sha256:x",
        "runtime": "echo",
    }
    more = {
        "artifacts": str(agent.config.data_dir / "artifacts" / "none"),
        "requirements": [],
        "python": "3.11",
        "drain_s": 5,
        "max_restarts": 1,
    }
    return ReplicaGoal(**(fields | more | changes))


def seen(agent: Agent) -> dict[str, Any]:
    rows = agent.report().replicas
    return shapes.plain(rows[0]) if rows else {"state": "none", "pid": None, "message": "", "restarts": 0}


async def reached(agent: Agent, state: str, restarts: int | None = None) -> None:
    """Return when the replica is in that state, and has been restarted so often."""
    await auntil(
        lambda: seen(agent)["state"] == state and restarts in (None, seen(agent)["restarts"]),
        f"the replica is {state}",
        seen=lambda: seen(agent),
    )


async def gone(agent: Agent) -> None:
    await auntil(lambda: not agent.report().replicas, "there is no replica", seen=agent.report)


async def ask(agent: Agent, body: dict[str, Any]) -> int | None:
    reader, writer = await asyncio.open_unix_connection(seen(agent)["address"].removeprefix("unix:"))
    writer.write(encode_frame(RequestHeader("invocations", 1), json.dumps(body).encode()))
    try:
        header, _ = await read_frame(reader, AnswerHeader)
    except asyncio.IncompleteReadError:
        return None
    finally:
        writer.close()
    return int(header.status)


async def test_goal__started__is_ready_answers_and_knows_no_secret(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLORCH_CONTROL_TOKEN", "canary-secret")
    agent.reconcile([goal(agent)])
    await reached(agent, "ready")

    assert await ask(agent, {}) == 200
    environment = psutil.Process(seen(agent)["pid"]).environ()
    assert "canary-secret" not in json.dumps(environment)
    assert not [name for name in environment if name.startswith("MLORCH_")]


async def test_goal_gone__worker__is_ended_and_leaves_nothing(agent: Agent) -> None:
    agent.reconcile([goal(agent)])
    await reached(agent, "ready")
    pid = seen(agent)["pid"]
    agent.reconcile([])
    await gone(agent)

    assert not psutil.pid_exists(pid)
    assert list(agent.config.records.glob("*")) == []
    assert list(agent.config.sockets.glob("*")) == []


async def test_worker_crashes__restarted__then_failed_beyond_its_budget(agent: Agent) -> None:
    agent.reconcile([goal(agent)])
    await reached(agent, "ready")
    assert await ask(agent, {"crash": True}) is None
    await reached(agent, "ready", restarts=1)
    assert await ask(agent, {"crash": True}) is None
    await reached(agent, "failed")

    assert "restarted 1 times" in seen(agent)["message"]


async def test_memory_over_its_limit__worker_is_ended_with_the_reason(agent: Agent) -> None:
    agent.reconcile([goal(agent, memory_limit_mb=1, max_restarts=0)])
    await reached(agent, "failed")

    assert seen(agent)["message"]


async def test_new_generation__process_is_replaced(agent: Agent) -> None:
    agent.reconcile([goal(agent)])
    await reached(agent, "ready")
    before = seen(agent)["pid"]
    agent.reconcile([goal(agent, generation=2)])
    await gone(agent)
    agent.reconcile([goal(agent, generation=2)])
    await reached(agent, "ready")

    assert seen(agent)["pid"] != before


async def test_requirements_refused__replica_fails_and_says_why(agent: Agent) -> None:
    agent.reconcile([goal(agent, requirements=["git+ssh://host/x"])])
    await reached(agent, "failed")

    assert "requirements are refused" in seen(agent)["message"]


async def test_agent_leaves_its_workers__next_one_adopts_the_same_process(agent: Agent) -> None:
    leaving = Agent(replace(agent.config, stop_workers=False))
    leaving.reconcile([goal(agent)])
    await reached(leaving, "ready")
    pid = seen(leaving)["pid"]
    await leaving.close()

    agent.adopt()
    await reached(agent, "ready")
    assert seen(agent)["pid"] == pid
    await agent.close()
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_process_id_was_reused__record_fools_nobody(agent: Agent) -> None:
    own, socket = psutil.Process(), agent.config.sockets / "r-9.sock"
    record = worker_process.Record("r-9", 1, own.pid, own.create_time() - 100, str(socket), goal(agent, id="r-9"))
    record.save(agent.config.records)
    socket.touch()
    socket.with_suffix(".home").mkdir()
    agent.adopt()

    assert not record.is_alive()
    worker_process.signal_group(record, signal.SIGKILL)
    assert agent.report().replicas == []
    assert list(agent.config.records.glob("*.json")) == []
    assert list(agent.config.sockets.iterdir()) == []


async def test_close__deep_data_directory__its_short_folder_is_gone(tmp_path: Path) -> None:
    config = AgentConfig("a1", "here", "http://127.0.0.1:1", "token", tmp_path / ("deep" * 30), 0.1, True, "")
    agent = Agent(config)
    agent.adopt()
    was_there = config.sockets.is_dir()
    await agent.close()

    assert was_there
    assert not config.sockets.exists()


def test_sockets__deep_data_directory__path_stays_short(tmp_path: Path) -> None:
    config = AgentConfig("a", "h", "u", "t", tmp_path / ("deep" * 30), 1, True, "")

    assert len(os.fsencode(config.sockets)) < 90
    assert replace(config, data_dir=Path("/v")).sockets == Path("/v/run/workers")
