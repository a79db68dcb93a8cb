"""The agent and the site: it waits there for another goal, tells news at once, and knows of an end without asking."""

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiohttp import web

from dataplane.agent import loop, memory_gauge, replica_runner, worker_process
from dataplane.agent.config import AgentConfig
from dataplane.agent.loop import Agent
from dataplane.agent.memory_gauge import MemoryGauge
from dataplane.agent.process_exit import exit_of
from dataplane.agent.worker_process import Record
from dataplane.wire import shapes
from dataplane.wire.agent_sync import ReplicaGoal
from tests.dataplane.agent.test_supervision import goal
from tests.support.waiting import auntil, patience

NOTHING = ReplicaGoal("r-1", 1, "m", "1", "sha256:x", "/x")


@dataclass
class Site:
    """A site with one goal.

    `polls` are the reports it got; with `knows_waiting` False it answers as one that cannot wait.
    """

    knows_waiting: bool = True
    is_away: bool = False
    goals: list[ReplicaGoal] = field(default_factory=list)
    polls: list[dict[str, Any]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def sync(self, request: web.Request) -> web.Response:
        report = await request.json()
        self.polls.append(report)
        if self.is_away:
            return web.Response(status=503)
        if not self.knows_waiting:
            return web.json_response({"replicas": shapes.plain(self.goals)})
        if report["goal"] == self.name:
            await self.changed.wait()  # however long: only news ends it
        return web.json_response({"replicas": shapes.plain(self.goals), "goal": self.name})

    @property
    def name(self) -> str:
        return f"goal of {len(self.goals)}"

    def want(self, *goals: ReplicaGoal) -> None:
        self.goals = list(goals)
        self.changed.set()

    @property
    def states(self) -> list[str]:
        return [row["state"] for row in self.polls[-1]["replicas"]] if self.polls else []


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    application = web.Application()
    application.router.add_post("/internal/v1/agents/a1/sync", site.sync)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.port = runner.addresses[0][1]
    yield site
    await runner.cleanup()


@pytest.fixture
async def agent(site: Site, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Agent]:
    async def no_template(*_: Any) -> None: ...

    monkeypatch.setattr("dataplane.agent.templates.Templates.warm_up", no_template)
    monkeypatch.setattr(loop, "SYNC_TIMEOUT_S", 3600.0)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        url = f"http://127.0.0.1:{site.port}"
        agent = Agent(AgentConfig("a1", "here", url, "token", Path(folder), 0.2, True, os.environ["PATH"]))
        running = asyncio.create_task(agent.run())
        yield agent
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await agent.close()


async def waits(site: Site) -> None:
    await auntil(
        lambda: bool(site.polls) and site.polls[-1]["wait_s"] > 0 and site.polls[-1]["goal"] == site.name,
        "the agent waits at the site",
    )


async def test_agent__waits_and_the_goal_changes__starts_the_replica_at_once(site: Site, agent: Agent) -> None:
    await waits(site)
    site.want(goal(agent))
    await auntil(lambda: bool(agent.report().replicas), "the replica is started")

    assert [replica.id for replica in agent.report().replicas] == ["r-1"]
    assert site.polls[-1]["replicas"] == []  # by the answer to the poll that waited, no later one


async def test_agent__nothing_happens__one_poll_waits(site: Site, agent: Agent) -> None:
    await waits(site)
    before = len(site.polls)
    await asyncio.sleep(1.0)

    assert len(site.polls) == before


async def test_agent__a_waiting_agents_worker_dies__site_hears_at_once(site: Site, agent: Agent) -> None:
    site.want(goal(agent, max_restarts=0))
    await auntil(lambda: site.states == ["ready"], "the site hears that it is ready")
    site.changed.clear()
    await waits(site)
    os.kill(site.polls[-1]["replicas"][0]["pid"], signal.SIGKILL)
    await auntil(lambda: site.states == ["failed"], "the site hears that it failed")


async def test_agent__site_is_away__is_told_when_it_is_back(site: Site, agent: Agent) -> None:
    await waits(site)
    site.is_away = True
    site.changed.set()
    await auntil(lambda: len(site.polls) >= 3, "the agent asks again and again")
    site.is_away = False
    site.want(goal(agent))
    await auntil(lambda: site.states == ["ready"], "the site hears that it is ready")

    assert site.polls[-1]["replicas"][0]["restarts"] == 0


async def test_agent__site_that_cannot_wait__is_not_asked_all_the_time(site: Site, agent: Agent) -> None:
    site.knows_waiting = False
    site.changed.set()
    await auntil(lambda: site.polls, "the agent asks")
    before, began = len(site.polls), asyncio.get_running_loop().time()
    await auntil(lambda: len(site.polls) >= before + 6, "the agent asks again and again")

    # Twice each 0.2 s, whatever the machine is busy with.
    assert asyncio.get_running_loop().time() - began >= 0.4


def record_of(pid: int) -> Record:
    return Record("r-1", 1, pid, psutil.Process(pid).create_time(), "/x.sock", NOTHING)


@pytest.fixture
def sleeper() -> Any:
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


async def test_exit__process_ends__is_told_within_moments(sleeper: "subprocess.Popen[bytes]") -> None:
    with exit_of(record_of(sleeper.pid)) as end:
        assert not await end.within(0.05)
        sleeper.kill()
        assert await end.within(patience())


async def test_exit__gone_already_or_another_process__has_ended(sleeper: "subprocess.Popen[bytes]") -> None:
    record = record_of(sleeper.pid)
    with exit_of(replace(record, born=record.born - 100)) as end:
        assert await end.within(0)
    sleeper.kill()
    sleeper.wait()
    with exit_of(record) as end:
        assert await end.within(0)


class Heavy(Record):
    """A record whose process weighs what the test says; counts how often it was weighed exactly."""

    def weigh(self, resident_mb: int, own_mb: int) -> None:
        vars(self).update(told=(resident_mb, own_mb))

    @property
    def weighed(self) -> int:
        return int(vars(self).get("count", 0))

    def resident_mb(self) -> int:
        return int(vars(self)["told"][0])

    def memory_mb(self) -> int:
        vars(self)["count"] = self.weighed + 1
        return int(vars(self)["told"][1])


def test_scales__nothing_changes__weighed_exactly_once() -> None:
    heavy = Heavy("r", 1, 1, 0.0, "", NOTHING)
    heavy.weigh(200, 30)
    found = [MemoryGauge(heavy, 2048)] * 50

    assert {one.own_mb() for one in found} == {30}
    assert heavy.weighed == 1


def test_scales__grows_or_passes_its_limit_or_time_goes_by__weighed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    heavy = Heavy("r", 1, 1, 0.0, "", NOTHING)
    heavy.weigh(200, 30)
    one = MemoryGauge(heavy, 400)
    one.own_mb()
    heavy.weigh(200 + memory_gauge.STEP_MB, 40)
    grown = one.own_mb()
    monkeypatch.setattr(memory_gauge, "WEIGH_EVERY_S", 0.0)
    one.own_mb()
    heavy.weigh(300, 150)
    one.own_mb()
    heavy.weigh(300, 160)
    assert (grown, one.own_mb()) == (40, 160)


async def test_runner__hung_worker__is_ended_after_pings_that_nobody_answers(
    agent: Agent, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WATCH_S", "PING_EVERY_S", "PING_AGAIN_S"):
        monkeypatch.setattr(replica_runner, name, 0.05)
    monkeypatch.setattr(worker_process, "PING_TIMEOUT_S", 0.2)
    site.want(goal(agent, max_restarts=0))
    await auntil(lambda: site.states == ["ready"], "the site hears that it is ready")
    os.kill(site.polls[-1]["replicas"][0]["pid"], signal.SIGSTOP)
    await auntil(lambda: site.states == ["failed"], "the site hears that it failed")

    assert "does not answer" in site.polls[-1]["replicas"][0]["message"]
