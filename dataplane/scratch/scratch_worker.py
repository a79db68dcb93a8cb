"""One worker as it would serve, for one task: started in its sandbox, asked, watched, ended."""

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from dataplane.agent import worker_process
from dataplane.agent.sandboxes import Refused, Sandboxes
from dataplane.agent.worker_channels import NotStarted, WorkerChannels
from dataplane.agent.worker_process import Record
from dataplane.scratch.config import ScratchConfig
from dataplane.scratch.installation import Unable
from dataplane.wire.agent_sync import ReplicaGoal
from dataplane.wire.frames import AnswerHeader, FrameError, RequestHeader, encode_frame, read_frame
from dataplane.wire.scratch import ScratchTask

LAUNCH_TIMEOUT_S = 30.0
LOOK_S = 0.1
END_S = 2.0
STEPS = {"loading": "loading the version", "warming": "answering the input example for the first time"}


class Unservable(Exception):
    """The version's worker did not come, did not stay, or did not answer; the text says why."""


@dataclass
class ScratchWorker:
    """A worker that is ready."""

    record: Record
    socket: Path
    memory_mb: int
    is_too_heavy: bool = False

    async def ask(self, body: bytes, within_s: float) -> tuple[AnswerHeader, bytes]:
        """Its answer to a request of MLflow's protocol. Raises Unservable."""
        try:
            async with asyncio.timeout(within_s):
                reader, writer = await asyncio.open_unix_connection(str(self.socket))
                try:
                    return await exchange(reader, writer, body)
                finally:
                    writer.close()
        except TimeoutError as error:
            raise Unservable(f"The version did not answer within {within_s:g} s.") from error
        except (OSError, FrameError, asyncio.IncompleteReadError) as error:
            self.check()
            raise Unservable(f"The version's worker ended while it was asked. {self.why()}".strip()) from error

    def why(self) -> str:
        """The last thing that the worker wrote."""
        line = worker_process.last_line(self.socket.with_suffix(".log"), 0)
        return f"Its last words: {line}" if line else ""

    def _weight(self) -> str:
        return f"The version's worker takes more than {self.memory_mb} MB of memory."

    def check(self) -> None:
        """Raises Unservable when the worker was ended for its weight."""
        if self.is_too_heavy:
            raise Unservable(self._weight())

    async def watch(self) -> None:
        """End the worker when it takes more memory than it may."""
        while not self.is_too_heavy:
            await asyncio.sleep(LOOK_S)
            if self.record.resident_mb() > self.memory_mb and self.record.memory_mb() > self.memory_mb:
                self.is_too_heavy = True
                worker_process.signal_group(self.record, signal.SIGKILL)


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes
) -> tuple[AnswerHeader, bytes]:
    """One request and its answer on a connection."""
    writer.write(encode_frame(RequestHeader("invocations", 1, content_type="application/json"), body))
    await writer.drain()
    return await read_frame(reader, AnswerHeader)


@contextlib.asynccontextmanager
async def scratch_worker(
    config: ScratchConfig, sandboxes: Sandboxes, task: ScratchTask, python: Path, say: Callable[[str], None]
) -> AsyncIterator[ScratchWorker]:
    """A worker of the task's version, ended with the block. Raises Unservable and Unable."""
    await sandboxes.look()
    goal = ReplicaGoal(
        id=f"r-{config.run}",
        generation=1,
        model=task.model,
        version=task.version,
        digest=task.digest,
        artifacts=task.artifacts,
        memory_limit_mb=task.memory_mb,
        start_timeout_s=task.within_s,
        sandbox_level_min=task.sandbox_level_min,
    )
    try:
        sandboxes.level_for(goal)
    except Refused as error:
        raise Unable(str(error)) from error
    socket = config.sockets / "w.sock"
    with WorkerChannels(socket.with_suffix(".log"), socket) as channels:
        record, handle = await _begun(config, sandboxes, goal, python, channels)
        worker = ScratchWorker(record, socket, task.memory_mb)
        watching = asyncio.create_task(worker.watch())
        try:
            await _ready(worker, channels, handle, say)
            yield worker
        finally:
            watching.cancel()
            await worker_process.end(record, handle, END_S)
            record.remove(config.records)


async def _begun(
    config: ScratchConfig, sandboxes: Sandboxes, goal: ReplicaGoal, python: Path, channels: WorkerChannels
) -> tuple[Record, "subprocess.Popen[bytes]"]:
    socket = config.sockets / "w.sock"
    spec = sandboxes.for_worker(goal, python, worker_process.home_of(goal, socket))
    arguments = worker_process.arguments_of(goal, socket)
    handle = worker_process.launched(goal, python, arguments, spec, channels, config.path)
    try:
        pid = await asyncio.to_thread(channels.meet, LAUNCH_TIMEOUT_S)
        record = worker_process.record_of(goal, pid, socket, sandboxes.sentence)
        record.save(config.records)
        channels.go()
    except (NotStarted, OSError) as error:
        handle.kill()
        raise Unable(f"A worker cannot be started here: {error}.") from error
    return record, handle


async def _ready(
    worker: ScratchWorker, channels: WorkerChannels, handle: "subprocess.Popen[bytes]", say: Callable[[str], None]
) -> None:
    """Wait until the worker says so; the deadline is the task's. Raises Unservable."""
    while True:
        for event in channels.events():
            if event.event == "failed":
                raise Unservable(f"The version cannot be loaded: {event.error}")
            if event.event == "ready":
                return
            say(STEPS.get(event.event, ""))
        if handle.poll() is not None:
            worker.check()
            raise Unservable(f"The version's worker ended while it loaded. {worker.why()}".strip())
        await asyncio.sleep(LOOK_S)
