"""One supervised process: started in a group of its own, probed, restarted with back-off, ended as a group."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import psutil

from mlorch_site.supervisor.logs import LogBook

PROBE_EVERY_S = 0.1
BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 20.0
STEADY_AFTER_S = 30.0
STOP_GRACE_S = 15.0
LINE_LIMIT_BYTES = 256 * 1024


@dataclass(frozen=True)
class Spec:
    """What to run. `ready` is asked until it says yes; without it a process counts as ready once it runs."""

    name: str
    command: list[str]
    env: Mapping[str, str]
    ready: Callable[[], Awaitable[bool]] | None = None
    ready_timeout_s: float = 60.0
    waited_for: bool = True
    stop_grace_s: float = STOP_GRACE_S


@dataclass
class Status:
    """What is told of a process in `run/processes.json`."""

    name: str
    pid: int | None = None
    state: str = "waiting"
    started_at: float | None = None
    restarts: int = 0
    log: str = field(default="")


class Supervised:
    """Keeps one process running until `stop`."""

    def __init__(self, spec: Spec, book: LogBook, changed: Callable[[], None]) -> None:
        self.spec = spec
        self.status = Status(spec.name)
        self.is_ready = asyncio.Event()
        self._book = book
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start, and from now on start again whenever it dies."""
        self._task = asyncio.create_task(self._run(), name=self.spec.name)

    def _say(self, text: str) -> None:
        self._book.line("up", text)

    def _set(self, state: str) -> None:
        self.status.state = state
        self._changed()

    async def _run(self) -> None:
        backoff_s = BACKOFF_FIRST_S
        while True:
            began = time.monotonic()
            code = await self._once()
            if time.monotonic() - began > STEADY_AFTER_S:
                backoff_s = BACKOFF_FIRST_S
            self.is_ready.clear()
            self.status.restarts += 1
            self._set("backoff")
            self._say(f"{self.spec.name} ended ({_how(code)}); starting it again in {backoff_s:g} s")
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)

    async def _once(self) -> int:
        process = await asyncio.create_subprocess_exec(
            *self.spec.command,
            env=dict(self.spec.env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=LINE_LIMIT_BYTES,
        )
        self._process = process
        self.status.pid, self.status.started_at = process.pid, time.time()
        self._set("starting")
        reading = asyncio.create_task(self._read(process))
        probing = asyncio.create_task(self._probe())
        try:
            code = await process.wait()
        finally:
            probing.cancel()
        kill_group(process.pid)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reading, 2)
        return code

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                continue
            if not line:
                return
            self._book.line(self.spec.name, line.decode(errors="replace").rstrip())

    async def _probe(self) -> None:
        began = time.monotonic()
        while self.spec.ready is not None and not await self.spec.ready():
            await asyncio.sleep(PROBE_EVERY_S)
            if time.monotonic() - began > self.spec.ready_timeout_s:
                began = time.monotonic()
                self._say(f"{self.spec.name} is not ready after {self.spec.ready_timeout_s:.0f} s; still waiting")
        self.is_ready.set()
        self._set("ready")

    async def stop(self) -> None:
        """End the process and its whole group: SIGTERM, a grace time, SIGKILL."""
        process, task = self._process, self._task
        members = descendants(process.pid) if process else []
        if process and process.returncode is None:
            self._set("stopping")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), self.spec.stop_grace_s)
        if task:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if process:
            kill_group(process.pid)
        for member in members:
            with contextlib.suppress(psutil.Error):
                member.kill()
        self._set("stopped")


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def descendants(pid: int) -> list[psutil.Process]:
    """Return all processes that came from `pid`, also those in groups of their own."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def kill_group(pid: int) -> None:
    """End what is left of a process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
