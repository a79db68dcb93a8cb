"""Warm template processes, from which workers are forked (dataplane/worker/template.py): one for our own interpreter,
one for each version that has an environment of its own.
"""

import asyncio
import contextlib
import hashlib
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import structlog

from dataplane.agent import worker_process
from dataplane.agent.config import AgentConfig
from dataplane.agent.sandboxes import Sandboxes, launch
from dataplane.agent.worker_channels import NoAnswer, NotStarted, WorkerChannels
from dataplane.wire import shapes
from dataplane.wire.agent_sync import ReplicaGoal
from dataplane.wire.worker_profile import WorkerProfile
from dataplane.wire.worker_start import ForkRequest

log = structlog.get_logger(__name__)

READY_TIMEOUT_S = 60.0
FORK_TIMEOUT_S = 10.0
POLL_S = 0.05
END_TIMEOUT_S = 2.0
RETRY_FIRST_S = 1.0
RETRY_MAX_S = 300.0
TEMPLATES_MAX = 8
# Arrow's allocator would start a thread of its own, and a process with two threads cannot be forked safely.
SINGLE_THREADED = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}


class NoTemplate(Exception):
    """No worker could be forked; the text says why. It is started the slower way."""


class Template:
    """One warm process. A template that died is started again, with back-off; workers it forked live on."""

    def __init__(self, config: AgentConfig, sandboxes: Sandboxes, python: Path, goal: ReplicaGoal | None) -> None:
        """Without a goal it is the one of our own interpreter, which serves all versions."""
        key = hashlib.sha256(f"{python} {goal.digest if goal else ''}".encode()).hexdigest()[:12]
        self._config = config
        self._sandboxes = sandboxes
        self._python = python
        self._goal = goal
        self.home = config.sockets / f"t-{key}.home"
        self._log = config.logs / f"template-{key}.log"
        self._handle: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._end_told = -1  # the kernel's descriptor of the process
        self._pid = 0
        self._failures = 0
        self._not_before = 0.0
        self._unfit = ""
        self.used_at = time.monotonic()
        self._lock = asyncio.Lock()
        self._asking = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The process, None when it does not run."""
        if self._handle is not None:
            self._handle.poll()  # takes its exit code
        has_ended = self._end_told < 0 or select.select([self._end_told], [], [], 0)[0]
        return None if has_ended else self._pid

    async def warm_up(self) -> None:
        """Start the process when it does not run, and wait until it can fork. Raises NoTemplate."""
        async with self._lock:
            if self._unfit:
                raise NoTemplate(self._unfit)
            if self.pid is not None:
                return
            if time.monotonic() < self._not_before:
                raise NoTemplate("the template failed lately")
            try:
                await self._warm()
            except BaseException as error:
                # Also when the one who waits is cancelled: a half-warm process would be taken for a ready one.
                if isinstance(error, NoTemplate):
                    self._failures += 1
                    self._not_before = time.monotonic() + min(RETRY_MAX_S, RETRY_FIRST_S * 2**self._failures)
                self.end()
                raise
            self._failures = 0

    async def _warm(self) -> None:
        await self._sandboxes.look()
        self.end()
        with WorkerChannels(self._log) as channels:
            try:
                self._start(channels)
                self._pid = await asyncio.to_thread(channels.meet, READY_TIMEOUT_S)
                self._end_told = os.pidfd_open(self._pid)
                channels.go()
            except (NotStarted, ProcessLookupError) as error:
                raise NoTemplate(f"the template cannot be started: {error}") from error
            await self._until_ready(channels)

    def _start(self, channels: WorkerChannels) -> None:
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        spec = self._sandboxes.for_template(self._goal, self._python, self.home)
        talk, output, events = channels.theirs
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [str(self._python), "-m", "dataplane.worker.template"]
        command += ["--control", str(theirs.fileno()), "--events", str(events)]
        environment = worker_process.clean_environment(1, self.home, self._config.path)
        self._handle = subprocess.Popen(
            launch(spec, talk, command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment | SINGLE_THREADED,
            cwd=self.home,
            start_new_session=True,
            pass_fds=(talk, events, theirs.fileno()),
        )
        theirs.close()
        channels.give()

    async def _until_ready(self, channels: WorkerChannels) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            has_ended = self.pid is None
            news = channels.events()
            if any(event.event == "ready" for event in news):
                return
            if why := next((event.error for event in news if event.event == "unfit"), ""):
                self._unfit = f"this environment cannot be forked: {shapes.cut(why)}"
                raise NoTemplate(self._unfit)
            if has_ended:
                raise NoTemplate(f"the template ended: {worker_process.last_line(self._log, 0)}")
            await asyncio.sleep(POLL_S)
        raise NoTemplate(f"the template was not ready after {READY_TIMEOUT_S:g} s")

    async def fork(self, request: ForkRequest, channels: WorkerChannels, keep: Callable[[int], None]) -> None:
        """Fork a worker. `keep` is called with its process id before it may begin. Raises NoTemplate; then no worker
        runs.
        """
        await self.warm_up()
        self.used_at = time.monotonic()
        async with self._asking:
            try:
                pid = await asyncio.to_thread(self._ask, request, channels)
                keep(pid)
                channels.go()
            except (OSError, NoAnswer, psutil.Error) as error:
                self.end()
                raise NoTemplate(f"the template does not answer: {error}") from error
            except NotStarted as error:
                raise NoTemplate(f"the template refuses: {error}") from error

    def _ask(self, request: ForkRequest, channels: WorkerChannels) -> int:
        assert self._control is not None
        self._control.settimeout(FORK_TIMEOUT_S)
        socket.send_fds(self._control, [shapes.write(request)], channels.theirs)
        channels.give()
        return channels.meet(FORK_TIMEOUT_S)

    def end(self) -> None:
        """End the process; the workers it forked are not its business."""
        if self._control is not None:
            self._control.close()
            self._control = None
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(OSError):
                if self._end_told >= 0 and self.pid is not None:
                    signal.pidfd_send_signal(self._end_told, number)
                    select.select([self._end_told], [], [], END_TIMEOUT_S)
        if self._handle is not None and self._end_told < 0:
            self._handle.kill()  # it never came so far as to say who it is
        if self._handle is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                # What cares for the workers of its sandbox lives as long as they do.
                self._handle.wait(0 if self._goal else END_TIMEOUT_S)
        if self._end_told >= 0:
            os.close(self._end_told)
        self._handle, self._end_told = None, -1
        shutil.rmtree(self.home, ignore_errors=True)


class Templates:
    """All templates of an agent."""

    def __init__(self, config: AgentConfig, sandboxes: Sandboxes) -> None:
        self._config = config
        self._sandboxes = sandboxes
        self._templates: dict[str, Template] = {}

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        return [template.pid for template in self._templates.values() if template.pid is not None]

    def template_for(self, python: Path, goal: ReplicaGoal | None = None) -> Template:
        """The template of a goal's version; the longest unused one makes room when there are too many."""
        owner = None if self._sandboxes.is_own(python) else goal
        key = f"{python} {owner.digest if owner else ''}"
        if key not in self._templates:
            if len(self._templates) >= TEMPLATES_MAX:
                longest_unused = min(self._templates, key=lambda known: self._templates[known].used_at)
                self._templates.pop(longest_unused).end()
            self._templates[key] = Template(self._config, self._sandboxes, python, owner)
        return self._templates[key]

    async def warm_up(self, python: Path) -> None:
        """Make our own interpreter's template ready; a failure is only logged, because workers start without one
        too.
        """
        try:
            await self.template_for(python).warm_up()
        except (NoTemplate, OSError) as error:
            log.warning("template.failed", python=str(python), why=str(error))

    async def start(
        self,
        goal: ReplicaGoal,
        python: Path,
        socket: Path,
        channels: WorkerChannels,
        profile: WorkerProfile | None = None,
    ) -> worker_process.Record:
        """Fork a worker for a goal. Raises NoTemplate; then none runs."""
        if goal.network and not self._sandboxes.is_own(python):
            raise NoTemplate("the template has no network to share")
        template = self.template_for(python, goal)
        home = worker_process.home_of(goal, socket)
        request = ForkRequest(
            module=worker_process.module_of(goal),
            arguments=worker_process.arguments_of(goal, socket, profile),
            sandbox=self._sandboxes.in_template(goal, python, home, template.home),
            threads=goal.cpu_threads,
        )
        records: list[worker_process.Record] = []

        def keep(pid: int) -> None:
            records.append(worker_process.record_of(goal, pid, socket, self._sandboxes.level_for(goal)))
            records[0].save(self._config.records)

        await template.fork(request, channels, keep)
        return records[0]

    def end(self) -> None:
        """End all templates."""
        for template in self._templates.values():
            template.end()
        self._templates.clear()
