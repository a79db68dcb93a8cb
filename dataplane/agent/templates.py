"""Warm template processes, one per Python environment, from which workers are forked (dataplane/worker/template.py)."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import structlog

from dataplane.agent import worker_process
from dataplane.agent.config import AgentConfig
from dataplane.wire import shapes
from dataplane.wire.agent_sync import ReplicaGoal
from dataplane.wire.worker_start import GO, ForkAnswer, ForkRequest
from dataplane.wire.worker_ways import Ways

log = structlog.get_logger(__name__)

READY_TIMEOUT_S = 60.0
FORK_TIMEOUT_S = 10.0
POLL_S = 0.05
RETRY_FIRST_S = 1.0
RETRY_MAX_S = 300.0
TEMPLATES_MAX = 8
# Arrow's allocator would start a thread of its own, and a process with two threads cannot be forked safely.
SINGLE_THREADED = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}


class NoTemplate(Exception):
    """No worker could be forked; the text says why. It is started the slower way."""


class Template:
    """One warm process. A template that died is started again, with back-off; workers it forked live on."""

    def __init__(self, config: AgentConfig, python: Path) -> None:
        key = hashlib.sha256(str(python).encode()).hexdigest()[:12]
        self._config = config
        self._python = python
        self._socket = config.sockets / f"t-{key}.sock"
        self._home = config.sockets / f"t-{key}.home"
        self._log = config.logs / f"template-{key}.log"
        self._handle: subprocess.Popen[bytes] | None = None
        self._failures = 0
        self._not_before = 0.0
        self._unfit = ""
        self.used_at = time.monotonic()
        self._lock = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        return self._handle.pid if self._handle and self._handle.poll() is None else None

    async def warm_up(self) -> None:
        """Start the process when it does not run, and wait until it can fork. Raises NoTemplate."""
        async with self._lock:
            if self._unfit:
                raise NoTemplate(self._unfit)
            if self.pid is not None:
                return
            if time.monotonic() < self._not_before:
                raise NoTemplate("the template failed lately")
            offset = self._start()
            try:
                await self._until_ready(offset)
            except BaseException as error:
                # Also when the one who waits is cancelled: a half-warm process would be taken for a ready one.
                if isinstance(error, NoTemplate):
                    self._failures += 1
                    self._not_before = time.monotonic() + min(RETRY_MAX_S, RETRY_FIRST_S * 2**self._failures)
                self.end()
                raise
            self._failures = 0

    def _start(self) -> int:
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._socket.unlink(missing_ok=True)
        descriptor = worker_process.open_log(self._log)
        offset = self._log.stat().st_size
        environment = worker_process.clean_environment(1, self._home, self._config.path)
        self._handle = subprocess.Popen(
            [str(self._python), "-m", "dataplane.worker.template", "--socket", str(self._socket)],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            env=environment | SINGLE_THREADED,
            cwd=self._home,
            start_new_session=True,
        )
        os.close(descriptor)
        return offset

    async def _until_ready(self, offset: int) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            news, offset = worker_process.events(self._log, offset)
            if any(event.event == "ready" for event in news):
                return
            if why := next((event.error for event in news if event.event == "unfit"), ""):
                self._unfit = f"this environment cannot be forked: {why}"
                raise NoTemplate(self._unfit)
            if self.pid is None:
                raise NoTemplate(f"the template ended: {worker_process.last_line(self._log, 0)}")
            await asyncio.sleep(POLL_S)
        raise NoTemplate(f"the template was not ready after {READY_TIMEOUT_S:g} s")

    async def fork(self, request: ForkRequest, keep: Callable[[int], None]) -> None:
        """Fork a worker. `keep` is called with its process id before it may begin. Raises NoTemplate; then no worker
        runs.
        """
        await self.warm_up()
        self.used_at = time.monotonic()
        try:
            async with asyncio.timeout(FORK_TIMEOUT_S):
                reader, writer = await asyncio.open_unix_connection(str(self._socket))
                try:
                    writer.write(shapes.write(request) + b"\n")
                    answer = shapes.read(ForkAnswer, await reader.readline())
                    if answer.pid is None:
                        raise NoTemplate(f"the template refuses: {answer.error}")
                    keep(answer.pid)
                    writer.write(GO)
                    await writer.drain()
                finally:
                    writer.close()
        except (OSError, TimeoutError, ValueError, psutil.Error) as error:
            self.end()
            raise NoTemplate(f"the template does not answer: {type(error).__name__} {error}") from error

    def end(self) -> None:
        """End the process; the workers it forked are not its business."""
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                self._handle.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._handle.wait(2)
            if self._handle.poll() is None:
                self._handle.kill()
                self._handle.wait()
            self._handle = None
        self._socket.unlink(missing_ok=True)
        shutil.rmtree(self._home, ignore_errors=True)


class Templates:
    """All templates of an agent."""

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._templates: dict[Path, Template] = {}

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        return [template.pid for template in self._templates.values() if template.pid is not None]

    def template_for(self, python: Path) -> Template:
        """The template of an environment; the longest unused one makes room when there are too many."""
        if python not in self._templates:
            if len(self._templates) >= TEMPLATES_MAX:
                longest_unused = min(self._templates, key=lambda known: self._templates[known].used_at)
                self._templates.pop(longest_unused).end()
            self._templates[python] = Template(self._config, python)
        return self._templates[python]

    async def warm_up(self, python: Path) -> None:
        """Make an environment's template ready; a failure is only logged, because workers start without one too."""
        try:
            await self.template_for(python).warm_up()
        except (NoTemplate, OSError) as error:
            log.warning("template.failed", python=str(python), why=str(error))

    async def start(
        self, goal: ReplicaGoal, python: Path, socket: Path, worker_log: Path, ways: Ways | None = None
    ) -> tuple[worker_process.Record, int]:
        """Fork a worker for a goal; return its record and where its part of the log begins. Raises NoTemplate."""
        home = worker_process.home_of(goal, socket)
        descriptor = worker_process.open_log(worker_log)
        offset = worker_log.stat().st_size
        os.close(descriptor)
        request = ForkRequest(
            module=worker_process.module_of(goal),
            arguments=worker_process.arguments_of(goal, socket, ways),
            log=str(worker_log),
            home=str(home),
            data_bytes=worker_process.data_limit(goal.memory_limit_mb),
            threads=goal.cpu_threads,
        )
        records: list[worker_process.Record] = []

        def keep(pid: int) -> None:
            born = psutil.Process(pid).create_time()
            records.append(worker_process.Record(goal.id, goal.generation, pid, born, str(socket), goal))
            records[0].save(self._config.records)

        await self.template_for(python).fork(request, keep)
        return records[0], offset

    def end(self) -> None:
        """End all templates."""
        for template in self._templates.values():
            template.end()
        self._templates.clear()
