"""The agent's loop: tell the site what runs, learn what should run, make it so."""

import asyncio
import contextlib
import sys
import uuid
from pathlib import Path

import aiohttp
import structlog

from dataplane.agent import worker_process
from dataplane.agent.config import AgentConfig
from dataplane.agent.kept_profiles import KeptProfiles
from dataplane.agent.python_environments import Environments
from dataplane.agent.replica_runner import ReplicaRunner
from dataplane.agent.sandboxes import Sandboxes
from dataplane.agent.templates import Templates
from dataplane.agent.worker_process import Record
from dataplane.wire import shapes
from dataplane.wire.agent_sync import AgentGoal, AgentReport, ReplicaGoal

log = structlog.get_logger(__name__)

SYNC_TIMEOUT_S = 10.0  # beyond the time that the site was asked to wait
WAIT_S = 10.0  # how long a sync without news waits for another goal; also how old a replica's memory can be on the site
JSON = {"Content-Type": "application/json"}
QUIET_S = 0.03  # changes this close together go in one sync


class Agent:
    """Supervises the replicas of one machine."""

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._boot = str(uuid.uuid4())
        self._sandboxes = Sandboxes(config)
        self._environments = Environments(config, self._sandboxes)
        self._templates = Templates(config, self._sandboxes)
        self._kept_profiles = KeptProfiles(config.profiles)
        self._runners: dict[str, ReplicaRunner] = {}
        self._ending: dict[str, tuple[ReplicaRunner, asyncio.Task[None]]] = {}
        self._orphans: dict[str, Record] = {}
        self._news = asyncio.Event()  # something the site is to hear at once
        self._known_goal = ""  # the site's name for the goal that is obeyed
        self._reachable = True

    @property
    def config(self) -> AgentConfig:
        return self._config

    @property
    def template_pids(self) -> list[int]:
        """The warm processes that workers are forked from."""
        return self._templates.pids

    async def warm_up(self) -> None:
        """Make the template of our own Python ready."""
        await self._templates.warm_up(Path(sys.executable))

    def adopt(self) -> None:
        """Take over workers of an agent process that died; remove what those that are gone have left."""
        self._config.sockets.mkdir(parents=True, exist_ok=True, mode=0o700)
        for record in worker_process.saved_records(self._config.records):
            if not record.is_alive():
                record.remove(self._config.records)
                continue
            log.info("replica.adopted", replica=record.replica, pid=record.pid)
            self._begin(record.goal, adopted=record)

    def _begin(self, goal: ReplicaGoal, adopted: Record | None = None) -> None:
        runner = ReplicaRunner(
            self._config,
            self._environments,
            self._templates,
            self._sandboxes,
            self._kept_profiles,
            goal,
            self._news.set,
        )
        self._runners[runner.id] = runner
        runner.begin(adopted)

    def reconcile(self, goals: list[ReplicaGoal]) -> None:
        """Bring what runs to `goals`: start what is missing, end what is not wanted, replace what has a new
        generation.
        """
        wanted = {goal.id: goal for goal in goals}
        for replica_id, runner in list(self._runners.items()):
            goal = wanted.get(replica_id)
            if goal is None or goal.generation > runner.goal.generation:
                self._end(replica_id)
        for replica_id, goal in wanted.items():
            if replica_id not in self._runners and replica_id not in self._ending:
                log.info("replica.started", replica=replica_id, model=goal.model, version=goal.version)
                self._begin(goal)

    def _end(self, replica_id: str) -> None:
        runner = self._runners.pop(replica_id)
        log.info("replica.ended", replica=replica_id)

        async def stop() -> None:
            await runner.stop()
            self._ending.pop(replica_id, None)
            self._news.set()

        self._ending[replica_id] = (runner, asyncio.create_task(stop()))

    def report(self, wait_s: float = 0.0) -> AgentReport:
        """What is sent to the site, which may wait so long for another goal before it answers."""
        runners = [*self._runners.values(), *(runner for runner, _ in self._ending.values())]
        return AgentReport(
            boot=self._boot,
            host=self._config.host,
            goal=self._known_goal,
            wait_s=wait_s,
            replicas=[runner.report() for runner in runners],
            environments=[build.report() for build in self._environments.builds.values()],
            sandbox=self._sandboxes.sentence,
        )

    async def run(self) -> None:
        """Sync until cancelled; without the site the workers run on."""
        self.adopt()
        warming = asyncio.create_task(self.warm_up())
        headers = {"Authorization": f"Bearer {self._config.control_token}"}
        try:
            async with aiohttp.ClientSession(headers=headers) as session:
                self._news.set()
                while True:
                    await self._tell(session) if self._news.is_set() else await self._listen(session)
        finally:
            warming.cancel()

    async def _tell(self, session: aiohttp.ClientSession) -> None:
        """Sync with news, which is answered at once.

        Without an answer there is news still, to be told a little later.
        """
        await asyncio.sleep(QUIET_S)
        self._news.clear()
        if not await self._sync(session, 0.0):
            await asyncio.sleep(self._config.sync_s)
            self._news.set()

    async def _listen(self, session: aiohttp.ClientSession) -> None:
        """Sync without news: wait at the site for another goal, and give that up when there is something to tell."""
        asking = asyncio.create_task(self._sync(session, self._config.sync_s if self._is_building() else WAIT_S))
        waking = asyncio.create_task(self._news.wait())
        try:
            await asyncio.wait((asking, waking), return_when=asyncio.FIRST_COMPLETED)
            if asking.done() and not (asking.result() and self._known_goal):
                await asyncio.sleep(self._config.sync_s)  # a site that is away, or does not know how to wait
                self._news.set()
        finally:
            asking.cancel()
            waking.cancel()

    def _is_building(self) -> bool:
        """Whether an environment is being built: people watch its progress."""
        return any(build.state == "building" for build in self._environments.builds.values())

    async def _sync(self, session: aiohttp.ClientSession, wait_s: float) -> bool:
        """Report, and obey the goal of the answer. Returns whether there was an answer."""
        url = f"{self._config.control_url}/internal/v1/agents/{self._config.agent_id}/sync"
        try:
            timeout = aiohttp.ClientTimeout(total=wait_s + SYNC_TIMEOUT_S)
            report = shapes.write(self.report(wait_s))
            async with session.post(url, data=report, headers=JSON, timeout=timeout) as response:
                if response.status != 200:
                    raise aiohttp.ClientError(f"HTTP {response.status}")
                answer = shapes.read(AgentGoal, await response.read())
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            if self._reachable:
                log.warning("site.unreachable", error=str(error) or type(error).__name__)
            self._reachable = False
            return False
        if not self._reachable:
            log.info("site.reachable")
        self._reachable = True
        self.reconcile(answer.replicas)
        self._known_goal = answer.goal
        return True

    async def close(self) -> None:
        """End all workers, or leave them for the next agent process when the configuration says so."""
        if not self._config.stop_workers:
            await asyncio.gather(*(runner.detach() for runner in self._runners.values()))
            self._templates.end()
            return
        for replica_id in list(self._runners):
            self._end(replica_id)
        await asyncio.gather(*(task for _, task in list(self._ending.values())))
        self._templates.end()
        with contextlib.suppress(OSError):  # a worker that cannot be ended still has its files there
            self._config.sockets.rmdir()
