"""Workers forked from a warm template: they answer, share memory, know no secret, and survive their template and their
agent.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from dataplane.agent import worker_process
from dataplane.agent.config import AgentConfig
from dataplane.agent.loop import Agent
from dataplane.agent.sandboxes import Sandboxes
from dataplane.agent.templates import NoTemplate, Template
from dataplane.wire import shapes
from dataplane.wire.agent_sync import ReplicaGoal, ReplicaObservation
from dataplane.wire.digest import digest
from dataplane.wire.frames import AnswerHeader, RequestHeader, encode_frame, read_frame
from tests.dataplane.worker.conftest import cancer_model  # noqa: F401 - a fixture
from tests.support.folders import short_folder
from tests.support.waiting import PATIENCE_S, auntil

pytestmark = pytest.mark.slow

SHARED_MB_MIN = 60


@pytest.fixture
async def agent(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Agent]:
    monkeypatch.setenv("MLORCH_CONTROL_TOKEN", "hunter2")
    with short_folder() as folder:
        agent = Agent(AgentConfig("a1", "here", "http://127.0.0.1:1", "hunter2", folder, 0.1, True, os.environ["PATH"]))
        agent.adopt()
        yield agent
        await agent.close()


def goal(artifacts: Path, replica: str, **changes: Any) -> ReplicaGoal:
    fields: dict[str, Any] = {"id": replica, "generation": 1, "model": "m", "version": "1", "digest": digest(artifacts)}
    more = {"artifacts": str(artifacts), "requirements": [], "python": "3.11", "drain_s": 5, "max_restarts": 1}
    return ReplicaGoal(**(fields | more | changes))


def row(agent: Agent, replica: str) -> ReplicaObservation:
    return next(row for row in agent.report().replicas if row.id == replica)


async def until_ready(agent: Agent, *replicas: str) -> None:
    def states() -> set[str]:
        return {row(agent, replica).state for replica in replicas}

    await auntil(lambda: states() == {"ready"} or "failed" in states(), "all are ready", seen=agent.report)
    assert states() == {"ready"}, agent.report()


async def predictions(agent: Agent, replica: str, artifacts: Path) -> Any:
    """What the replica answers to the version's own input example."""
    reader, writer = await asyncio.open_unix_connection(row(agent, replica).address.removeprefix("unix:"))
    body = (artifacts / "serving_input_example.json").read_bytes()
    writer.write(encode_frame(RequestHeader("invocations", 1, content_type="application/json"), body))
    header, content = await read_frame(reader, AnswerHeader)
    writer.close()
    assert header.status == 200
    return json.loads(content)["predictions"]


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def template_of(agent: Agent) -> psutil.Process:
    (template,) = agent.template_pids
    return psutil.Process(template)


async def test_forked_workers__answer_share_memory_and_know_no_secret(
    agent: Agent,
    cancer_model: Path,  # noqa: F811
) -> None:
    agent.reconcile([goal(cancer_model, "r-1"), goal(cancer_model, "r-2")])
    await until_ready(agent, "r-1", "r-2")
    template = template_of(agent)
    workers = [psutil.Process(row(agent, replica).pid) for replica in ("r-1", "r-2")]
    unique_mb = [worker.memory_full_info().uss / 1e6 for worker in workers]

    assert [worker.ppid() for worker in workers] == [template.pid] * 2
    assert len({os.getsid(worker.pid) for worker in workers}) == 2
    assert await predictions(agent, "r-1", cancer_model) == await predictions(agent, "r-2", cancer_model)
    assert max(unique_mb) < workers[0].memory_info().rss / 1e6 - SHARED_MB_MIN
    for one in (template, *workers):
        assert "hunter2" not in Path(f"/proc/{one.pid}/environ").read_text()
    inside = (agent.config.logs / "r-1.log").read_text()
    assert '"native": "array"' in inside


async def test_forked_worker__crashes__no_zombie_and_restarted(agent: Agent, cancer_model: Path) -> None:  # noqa: F811
    agent.reconcile([goal(cancer_model, "r-1")])
    await until_ready(agent, "r-1")
    first = row(agent, "r-1").pid
    os.kill(first, signal.SIGKILL)
    await auntil(
        lambda: row(agent, "r-1").pid not in (first, None) and row(agent, "r-1").state == "ready",
        "a new worker is ready",
        seen=agent.report,
    )

    assert row(agent, "r-1").restarts == 1
    assert not psutil.pid_exists(first)


async def test_template__killed__workers_live_and_the_next_one_is_forked_by_a_new_one(
    agent: Agent,
    cancer_model: Path,  # noqa: F811
) -> None:
    agent.reconcile([goal(cancer_model, "r-1")])
    await until_ready(agent, "r-1")
    old, worker = template_of(agent), row(agent, "r-1").pid
    old.kill()
    old.wait()
    agent.reconcile([goal(cancer_model, "r-1"), goal(cancer_model, "r-2")])
    await until_ready(agent, "r-2")

    assert row(agent, "r-1").pid == worker
    assert (row(agent, "r-1").state, row(agent, "r-1").restarts) == ("ready", 0)
    assert template_of(agent).pid != old.pid
    assert psutil.Process(row(agent, "r-2").pid).ppid() == template_of(agent).pid


async def test_template__cannot_run__worker_is_started_the_slower_way(
    agent: Agent,
    cancer_model: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dataplane.agent.templates.SINGLE_THREADED", {"PYTHONPATH": "/nowhere"})
    agent.reconcile([goal(cancer_model, "r-1")])
    await until_ready(agent, "r-1")

    assert psutil.Process(row(agent, "r-1").pid).parent().ppid() == os.getpid()  # its parent waits outside


async def test_template__hangs__worker_is_started_the_slower_way_and_none_runs_twice(
    agent: Agent,
    cancer_model: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent.reconcile([goal(cancer_model, "r-1")])
    await until_ready(agent, "r-1")
    monkeypatch.setattr("dataplane.agent.templates.FORK_TIMEOUT_S", 0.5)
    hung = template_of(agent)
    hung.suspend()
    agent.reconcile([goal(cancer_model, "r-1"), goal(cancer_model, "r-2")])
    await until_ready(agent, "r-2")
    socket = str(agent.config.sockets / "r-2.sock")
    running = [
        one.pid
        for one in psutil.process_iter(["cmdline"])
        if socket in (one.info["cmdline"] or []) and "dataplane.sandbox.launcher" not in one.info["cmdline"]
    ]

    assert running == [row(agent, "r-2").pid]
    assert not psutil.pid_exists(hung.pid)


async def test_template__has_two_threads__is_unfit_for_good(agent: Agent, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nOPENBLAS_NUM_THREADS=2 exec {sys.executable} "$@"\n')
    python.chmod(0o700)
    template = Template(agent.config, Sandboxes(agent.config), python, None)

    for _ in range(2):
        with pytest.raises(NoTemplate, match=r"cannot be forked: .* threads"):
            await template.warm_up()
    assert template.pid is None


async def test_forked_worker__more_threads_wanted__has_them(agent: Agent, cancer_model: Path) -> None:  # noqa: F811
    agent.reconcile([goal(cancer_model, "r-1"), goal(cancer_model, "r-2", cpu_threads=3)])
    await until_ready(agent, "r-1", "r-2")
    few, many = (psutil.Process(row(agent, replica).pid) for replica in ("r-1", "r-2"))

    assert few.ppid() == many.ppid() == template_of(agent).pid
    assert many.num_threads() >= few.num_threads() + 2
    assert await predictions(agent, "r-1", cancer_model) == await predictions(agent, "r-2", cancer_model)


async def test_goal_withdrawn_while_warming__next_one_is_forked(agent: Agent, cancer_model: Path) -> None:  # noqa: F811
    agent.reconcile([goal(cancer_model, "r-1")])
    await auntil(lambda: agent.template_pids, "a template warms up")
    agent.reconcile([])
    agent.reconcile([goal(cancer_model, "r-2")])
    await until_ready(agent, "r-2")

    assert psutil.Process(row(agent, "r-2").pid).ppid() == template_of(agent).pid


async def test_forked_worker__wrong_digest__fails_with_the_sentence(agent: Agent, cancer_model: Path) -> None:  # noqa: F811
    agent.reconcile([goal(cancer_model, "r-1", digest="sha256:other")])
    await auntil(lambda: row(agent, "r-1").state == "failed", "the replica has failed", seen=agent.report)

    assert "not what was approved" in row(agent, "r-1").message


async def test_agent_gone__template_ends_with_it_and_the_worker_is_adopted(
    agent: Agent,
    cancer_model: Path,  # noqa: F811
) -> None:
    script = (
        "import asyncio, sys, json; from tests.dataplane.agent import leaving; asyncio.run(leaving.main(*sys.argv[1:]))"
    )
    leaving = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, str(agent.config.data_dir), shapes.write(goal(cancer_model, "r-1")).decode()),
        cwd=worker_process.PROJECT_ROOT,
        env={**os.environ, "PYTHONPATH": str(worker_process.PROJECT_ROOT)},
    )
    told = agent.config.data_dir / "told"
    await auntil(told.exists, "the agent tells its processes", within_s=2 * PATIENCE_S)
    template, worker = json.loads(told.read_text())
    leaving.kill()
    await leaving.wait()
    agent.adopt()
    await until_ready(agent, "r-1")

    assert row(agent, "r-1").pid == worker
    await auntil(lambda: not is_alive(template), "the template has ended")
