"""One replica: environment, start, warm-up, watch, restart with back-off, give up after a budget.

States as in docs/wire.md section 5.
"""

import asyncio
import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from dataplane.agent import worker_process, worker_room
from dataplane.agent.config import AgentConfig
from dataplane.agent.kept_profiles import KeptProfiles
from dataplane.agent.memory_gauge import MemoryGauge
from dataplane.agent.process_exit import Exit, exit_of
from dataplane.agent.python_environments import BadRequirement, BuildFailed, Environments
from dataplane.agent.sandboxes import Refused, Sandboxes
from dataplane.agent.templates import Templates
from dataplane.agent.worker_channels import NotStarted, WorkerChannels
from dataplane.agent.worker_process import Record
from dataplane.agent.worker_starter import Beginning, WorkerStarter
from dataplane.wire import shapes
from dataplane.wire.agent_sync import ReplicaGoal, ReplicaObservation, ReplicaStatus
from dataplane.wire.worker_profile import WorkerProfile
from dataplane.wire.worker_start import StartEvent

log = structlog.get_logger(__name__)

START_POLL_S = 0.05
WATCH_S = 2.0
PING_EVERY_S = 10.0  # a worker's end is told at once; this finds one that lives and does not answer
PING_AGAIN_S = 2.0  # after a ping that was not answered
PINGS_MISSED_MAX = 3
BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 30.0
RESTARTS_FORGIVEN_AFTER_S = 300.0


class Hopeless(Exception):
    """Starting again cannot help; the text says why."""


class Crashed(Exception):
    """The worker ended or had to be ended; the text says why."""


class ReplicaRunner:
    """Keeps one replica running until it is told to stop."""

    def __init__(
        self,
        config: AgentConfig,
        environments: Environments,
        templates: Templates,
        sandboxes: Sandboxes,
        kept_profiles: KeptProfiles,
        goal: ReplicaGoal,
        changed: Callable[[], None],
    ) -> None:
        self.goal = goal
        self.state: ReplicaStatus = "pending"
        self.message = ""
        self.restarts = 0
        self.memory_mb = 0
        self.ready_at: float | None = None
        self.profile: WorkerProfile | None = None
        self.record: Record | None = None
        self._handle: subprocess.Popen[bytes] | None = None
        self._config = config
        self._environments = environments
        self._sandboxes = sandboxes
        self._starter = WorkerStarter(config, templates, sandboxes, self._socket, self._log)
        self._kept_profiles = kept_profiles
        self._profile_key = ""  # of the worker that was started last
        self._changed = changed
        self._task: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        return self.goal.id

    @property
    def _socket(self) -> Path:
        return self._config.sockets / f"{self.id}.sock"

    @property
    def _log(self) -> Path:
        return self._config.logs / f"{self.id}.log"

    def begin(self, adopted: Record | None = None) -> None:
        """Start working, with a worker that already runs when there is one to adopt."""
        self.record = adopted
        self._task = asyncio.create_task(self._run(), name=f"replica {self.id}")

    def report(self) -> ReplicaObservation:
        """The replica as the sync reports it."""
        record = self.record
        return ReplicaObservation(
            id=self.id,
            generation=self.goal.generation,
            state=self.state,
            pid=record.pid if record else None,
            started_at=record.born if record else None,
            address=f"unix:{self._socket}",
            restarts=self.restarts,
            message=shapes.cut(self.message),
            memory_mb=self.memory_mb if record else 0,
            digest=self.goal.digest,
            ready_at=self.ready_at,
            profile=self.profile,
            sandbox=shapes.cut(record.sandbox) if record else "",
        )

    async def stop(self) -> None:
        """End the worker and forget it."""
        self._set("stopping", "")
        await self.detach()
        if self.record:
            # What never served has nothing to finish.
            await worker_process.end(self.record, self._handle, self.goal.drain_s if self.ready_at else 0)
        self._forget()
        self._set("stopped", "")

    async def detach(self) -> None:
        """Stop supervising; the worker runs on."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _set(self, state: ReplicaStatus, message: str) -> None:
        if (state, message) != (self.state, self.message):
            self.state, self.message = state, message
            self._changed()

    async def _run(self) -> None:
        backoff_s = BACKOFF_FIRST_S
        while True:
            try:
                if self.record is None:
                    await self._start()
                await self._watch()
            except (Hopeless, Refused) as error:
                self._set("failed", str(error))
                return
            except Crashed as error:
                await self._clear_away()
                if self._is_over_budget():
                    self._set("failed", f"{error} (restarted {self.restarts} times)")
                    return
                self.restarts += 1
                self._set("backoff", str(error))
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)

    def _is_over_budget(self) -> bool:
        if self.ready_at and time.time() - self.ready_at > RESTARTS_FORGIVEN_AFTER_S:
            self.restarts = 0
        self.ready_at = None
        return self.restarts >= self.goal.max_restarts

    async def _clear_away(self) -> None:
        if self.record:
            await worker_process.end(self.record, self._handle, 0)
        self._forget()

    def _forget(self) -> None:
        if self._handle and not self.record:
            self._handle.kill()  # nobody came of it
        self.record = self._handle = None
        (self._config.records / f"{self.id}.json").unlink(missing_ok=True)
        self._socket.unlink(missing_ok=True)
        shutil.rmtree(self._socket.parent / f"{self.id}.home", ignore_errors=True)

    async def _start(self) -> None:
        self._set("building", "")
        await self._sandboxes.look()
        level = self._sandboxes.level_for(self.goal)
        python = await self._interpreter()
        self._profile_key = "" if self.goal.runtime else self._kept_profiles.key_of(self.goal, python)
        kept = self._kept_profiles.read(self._profile_key)
        if kept is not None or not self._profile_key:
            await self._start_with(python, level, kept)
            return
        self._set("starting", "Waits until it is decided how this version answers")
        async with self._kept_profiles.deciding(self._profile_key) as decided:
            await self._start_with(python, level, decided)
            if (profile := await worker_process.ping(str(self._socket))) is not None:
                self._take_profile(profile)

    async def _start_with(self, python: Path, level: str, profile: WorkerProfile | None) -> None:
        self._set("starting", "")
        try:
            self.record, self._handle = await self._starter.start(self.goal, python, Beginning(level, profile))
            self._changed()
            await self._until_ready()
        except NotStarted as error:
            raise Crashed(f"The worker could not be started: {error}") from error
        finally:
            self._starter.hang_up()

    def _take_profile(self, profile: WorkerProfile) -> None:
        """Take in what the worker says of how it answers; what is new is kept for the next start."""
        if profile == self.profile:
            return
        self.profile = profile
        if self._profile_key and profile.is_decided and profile != self._kept_profiles.read(self._profile_key):
            self._kept_profiles.keep(self._profile_key, profile)
        self._changed()

    async def _interpreter(self) -> Path:
        try:
            return await self._environments.python_for(
                self.goal.requirements, self.goal.python, self.goal.build_requirements
            )
        except BadRequirement as error:
            raise Hopeless(f"The version's requirements are refused: {error}.") from error
        except BuildFailed as error:
            raise Hopeless(f"The environment could not be built: {error}") from error

    async def _until_ready(self) -> None:
        assert self.record is not None
        assert self._starter.channels is not None
        began = time.monotonic()
        with exit_of(self.record) as end:
            while True:
                if await self._is_ready(self._starter.channels.events()):
                    return
                self._check_room(self.record)
                if time.monotonic() - began > self.goal.start_timeout_s:
                    raise Crashed(f"The worker was not ready after {self.goal.start_timeout_s} s")
                if await end.within(START_POLL_S):
                    await self._last_words(self._starter.channels)

    async def _is_ready(self, news: list[StartEvent]) -> bool:
        """Take in what a starting worker says; return whether it is ready. Raises Hopeless."""
        for event in news:
            if event.event == "failed":
                await self._clear_away()
                raise Hopeless(shapes.cut(event.error) or "the worker could not start")
            if event.event == "warming":
                self._set("warming", "")
            if event.event == "ready":
                return True
        return False

    async def _last_words(self, channels: WorkerChannels) -> None:
        """Raise what a worker that ended while it started has said of it."""
        await self._is_ready(channels.events())
        raise Crashed(
            f"The worker ended while starting: {worker_process.last_line(self._log, self._starter.log_begins)}"
        )

    def _check_room(self, record: Record) -> None:
        """Raise Crashed when the worker takes too much."""
        if problem := worker_room.problem_of(record, self._log):
            raise Crashed(problem)

    async def _watch(self) -> None:
        assert self.record is not None
        with exit_of(self.record) as end:
            await self._watch_until(end, self.record)
        raise Crashed(f"The worker ended: {worker_process.last_line(self._log, self._starter.log_begins)}")

    async def _watch_until(self, end: Exit, record: Record) -> None:
        """Return when the worker has ended. Raises Crashed when it has to be ended."""
        memory_gauge = MemoryGauge(record, self.goal.memory_limit_mb)
        missed, next_ping = 0, 0.0
        while not await end.within(0 if next_ping == 0 else WATCH_S):
            self._check_room(record)
            self.memory_mb = memory_gauge.own_mb()
            if self.memory_mb > memory_gauge.limit_mb:
                sentence = f"{self.memory_mb} MB of memory, more than its limit of {memory_gauge.limit_mb} MB"
                raise Crashed(f"The worker used {sentence}")
            if time.monotonic() >= next_ping:
                missed = await self._ping(record, missed)
                next_ping = time.monotonic() + (PING_AGAIN_S if missed else PING_EVERY_S)

    async def _ping(self, record: Record, missed: int) -> int:
        """How many pings in a row were not answered, with this one. Raises Crashed when there were too many."""
        profile = await worker_process.ping(record.socket)
        missed = missed + 1 if profile is None else 0
        if missed >= PINGS_MISSED_MAX:
            raise Crashed("The worker does not answer any more")
        if profile is not None:
            self._take_profile(profile)
        if not missed and self.state != "ready":
            self.ready_at = time.time()
            self._set("ready", "")
        return missed
