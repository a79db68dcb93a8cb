"""One supervised process: started in a group of its own, probed, restarted with back-off, ended as a group."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

import psutil

from mlorch_site.launch.supervisor.family import descendants, kill_group
from mlorch_site.launch.supervisor.logs import LogBook
from mlorch_site.launch.supervisor.ordinary_user import NOBODY_ELSE, OrdinaryUser
from mlorch_site.launch.supervisor.ports import KeptSockets

PROBE_EVERY_S = 0.1
BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 20.0
STEADY_AFTER_S = 30.0
STOP_GRACE_S = 15.0
LAST_LINES_WITHIN_S = 2.0
LINE_LIMIT_BYTES = 256 * 1024
EXIT_CANNOT_START = 127


@dataclass(frozen=True)
class Spec:
    """What to run. `ready` is asked until it says yes; without it a process counts as ready once it runs.

    A process with `kept` sockets says itself when it is ready, and can be replaced by a successor while it serves:
    SIGTERM then tells it to drain within `drain_grace_s`. At the end it gets `end_signal`. It runs as `user`, or as
    whoever starts it with `groups` besides.
    """

    name: str
    command: list[str]
    env: Mapping[str, str]
    ready: Callable[[], Awaitable[bool]] | None = None
    ready_timeout_s: float = 60.0
    waited_for: bool = True
    stop_grace_s: float = STOP_GRACE_S
    end_signal: signal.Signals = signal.SIGTERM
    kept: KeptSockets | None = None
    drain_grace_s: float = STOP_GRACE_S
    user: OrdinaryUser = NOBODY_ELSE
    groups: tuple[int, ...] = ()


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield the lines of a stream; one that is longer than the stream's limit is dropped, all of it."""
    is_rest = False
    while not stream.at_eof():
        try:
            line = await stream.readuntil()
        except asyncio.IncompleteReadError as error:
            line = error.partial
        except asyncio.LimitOverrunError as error:
            await stream.readexactly(error.consumed)
            is_rest = True
            continue
        if line and not is_rest:
            yield line
        is_rest = False


@dataclass
class Status:
    """What is told of a process in `run/processes.json`.

    `state` is waiting, starting, ready, backoff, stopping or stopped.
    """

    name: str
    pid: int | None = None
    state: str = "waiting"
    started_at: float | None = None
    restarts: int = 0


class Supervised:
    """Keeps one process running until `stop`. `has_died` is set when it has died at least once."""

    def __init__(self, spec: Spec, book: LogBook, changed: Callable[[], None]) -> None:
        self.spec = spec
        self.status = Status(spec.name)
        self.is_ready = asyncio.Event()
        self.has_died = asyncio.Event()
        self._book = book
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._ending = False
        self._is_trial = False

    def begin(self, *, is_trial: bool = False) -> None:
        """Start, and from now on start again whenever it dies.

        A trial is over with its first death, until it was ready once.
        """
        self._is_trial = is_trial
        self._task = asyncio.create_task(self._run(), name=self.spec.name)

    @property
    def can_be_replaced(self) -> bool:
        return self.spec.kept is not None and self.is_ready.is_set() and not self._ending

    def _say(self, text: str) -> None:
        self._book.line("up", text)

    def _set(self, state: str) -> None:
        self.status.state = state
        self._changed()

    async def _run(self) -> None:
        backoff_s = BACKOFF_FIRST_S
        while not self._ending:
            began = time.monotonic()
            code = await self._once()
            self.has_died.set()
            if self._ending:
                return
            if self._is_trial:
                self._say(f"{self.spec.name}: its successor ended ({_how(code)}) before it was ready")
                return
            if time.monotonic() - began > STEADY_AFTER_S:
                backoff_s = BACKOFF_FIRST_S
            self.is_ready.clear()
            self.status.restarts += 1
            self.status.pid = None
            self._let_go(backoff_s)
            self._set("backoff")
            self._say(f"{self.spec.name} ended ({_how(code)}); starting it again in {backoff_s:g} s")
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)

    def _let_go(self, backoff_s: float) -> None:
        """Keep the sockets only where it helps: what waits in them would wait for long, or other processes could answer
        it.
        """
        kept = self.spec.kept
        if kept is not None and (kept.is_shared or backoff_s > BACKOFF_FIRST_S):
            kept.let_go()

    async def _start(self, output: int, channel: socket.socket) -> asyncio.subprocess.Process | None:
        """Start the command with its output going to the descriptor `output`; on `channel` it says that it is ready if
        it does so itself.
        """
        variables, descriptors = self.spec.kept.given(channel) if self.spec.kept else ({}, [])
        try:
            return await asyncio.create_subprocess_exec(
                *self.spec.command,
                env={**self.spec.env, **variables},
                pass_fds=descriptors,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **(self.spec.user.of_process() or {"extra_groups": self.spec.groups or None}),
            )
        except OSError as error:
            self._say(f"{self.spec.name} cannot be started: {error}")
            return None

    async def _once(self) -> int:
        # A pipe of our own: with asyncio's, a dead process counts as running for as long as a descendant holds its
        # output open.
        readable, writable = os.pipe()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            process = self._process = await self._start(writable, theirs)
        finally:
            os.close(writable)
            theirs.close()
        reading = asyncio.create_task(self._read(readable))
        if process is None:
            ours.close()
            await reading
            return EXIT_CANNOT_START
        self.status.pid, self.status.started_at = process.pid, time.time()
        self._set("starting")
        probing = asyncio.create_task(self._probe(ours))
        try:
            code = await process.wait()
        finally:
            probing.cancel()
            ours.close()
            kill_group(process.pid)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reading, LAST_LINES_WITHIN_S)
        return code

    async def _read(self, readable: int) -> None:
        """Pass the lines on until all who write have gone, or until cancelled."""
        stream = asyncio.StreamReader(limit=LINE_LIMIT_BYTES)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(readable, "rb", buffering=0)
        )
        try:
            async for line in _lines(stream):
                self._book.line(self.spec.name, line.decode(errors="replace").rstrip())
        finally:
            transport.close()

    async def _answers(self, channel: socket.socket) -> bool:
        """Whether the process is ready: it has said so itself, or its probe is content."""
        if self.spec.kept is not None:
            return self.spec.kept.take(channel)
        return self.spec.ready is None or await self.spec.ready()

    async def _probe(self, channel: socket.socket) -> None:
        first = began = time.monotonic()
        while not await self._answers(channel):
            await asyncio.sleep(PROBE_EVERY_S)
            if time.monotonic() - began > self.spec.ready_timeout_s:
                began = time.monotonic()
                self._say(f"{self.spec.name} is not ready after {began - first:.0f} s; still waiting")
        self._is_trial = False
        self.is_ready.set()
        self._set("ready")
        if self.spec.ready and (self.status.restarts or not self.spec.waited_for):
            self._say(f"{self.spec.name} is ready after {time.monotonic() - first:.1f} s")

    def kill(self) -> None:
        """End the process group at once; `stop` then has nothing to wait for."""
        if self._process and self._process.returncode is None:
            kill_group(self._process.pid)

    async def drain(self) -> None:
        """End a process that has a successor; it has the time to finish what it has begun."""
        await self._stop(signal.SIGTERM, self.spec.drain_grace_s)

    async def stop(self) -> None:
        """End the process and its whole group: its signal, a grace time, SIGKILL. Doing it twice is harmless."""
        await self._stop(self.spec.end_signal, self.spec.stop_grace_s)

    async def _stop(self, number: signal.Signals, grace_s: float) -> None:
        self._ending = True
        process, task = self._process, self._task
        members = descendants(process.pid) if process else []
        if process and process.returncode is None:
            self._set("stopping")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            try:
                await asyncio.wait_for(process.wait(), grace_s)
            except TimeoutError:
                self._say(f"{self.spec.name} did not end within {grace_s:g} s and is killed")
                kill_group(process.pid)
        for member in members:
            with contextlib.suppress(psutil.Error):
                member.kill()
        if task:
            await self._finish(task)
        self._set("stopped")

    async def _finish(self, task: asyncio.Task[None]) -> None:
        """Give the task the time to write the last lines, unless it is waiting for a restart."""
        if self.status.state == "backoff":
            task.cancel()
        await asyncio.wait({task}, timeout=LAST_LINES_WITHIN_S + 1)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
