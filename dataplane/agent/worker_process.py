"""One worker process: start it with a clean environment in its sandbox, watch it, end its whole group."""

import asyncio
import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import psutil

from dataplane.agent.sandboxes import PROJECT_ROOT, launch
from dataplane.agent.worker_channels import WorkerChannels
from dataplane.wire import shapes
from dataplane.wire.agent_sync import ReplicaGoal
from dataplane.wire.frames import AnswerHeader, FrameError, RequestHeader, encode_frame, read_frame
from dataplane.wire.sandbox import SandboxSpec
from dataplane.wire.shapes import Malformed
from dataplane.wire.worker_profile import WorkerProfile
from dataplane.worker.threads import THREAD_VARIABLES

LINE_MAX_CHARS = 300
PING_TIMEOUT_S = 5.0
DECIDE_PART = 2  # of the time that a worker has to start, that it may take to decide how it answers
RUNTIMES = {"": "dataplane.worker.__main__", "echo": "dataplane.worker.echo"}


@dataclass(frozen=True)
class Record:
    """What is written down about a running worker, so that another agent process can adopt it.

    `born` is the process's start time as the kernel tells it: a reused process id has another one. `sandbox` is the
    level it was started with.
    """

    replica: str
    generation: int
    pid: int
    born: float
    socket: str
    goal: ReplicaGoal
    sandbox: str = ""

    @cached_property
    def _process(self) -> psutil.Process | None:
        """The process, looked up once: afterwards a step of the wall clock does not make another one of it."""
        try:
            process = psutil.Process(self.pid)
            return process if abs(process.create_time() - self.born) < 0.05 else None
        except psutil.Error:
            return None

    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        try:
            process = self._process
            return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def resident_mb(self) -> int:
        """The memory in use, in MB, 0 when the process is gone. Cheap, but what forked workers share is in it."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb", buffering=0) as file:
                return int(file.read(200).split()[1]) * resource.getpagesize() // (1024 * 1024)
        except (OSError, IndexError):
            return 0

    def memory_mb(self) -> int:
        """The memory that is the process's own, in MB, 0 when it is gone: what forked workers share is nobody's fault.

        Dear: the kernel walks through all pages of the process.
        """
        try:
            process = psutil.Process(self.pid)
            try:
                weighed = process.memory_full_info()
                own = weighed.uss + weighed.swap
            except psutil.AccessDenied:
                own = process.memory_info().rss
            return int(own / 1024 / 1024)
        except psutil.Error:
            return 0

    def save(self, folder: Path) -> None:
        """Write the record in one piece."""
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{self.replica}.tmp"
        temporary.write_text(json.dumps({**asdict(self), "goal": shapes.plain(self.goal)}))
        temporary.replace(folder / f"{self.replica}.json")

    def remove(self, folder: Path) -> None:
        """Remove the record, and what a worker that is gone has left beside its socket."""
        socket = Path(self.socket)
        (folder / f"{self.replica}.json").unlink(missing_ok=True)
        socket.unlink(missing_ok=True)
        shutil.rmtree(socket.with_suffix(".home"), ignore_errors=True)


def saved_records(folder: Path) -> list[Record]:
    """All records in `folder`; an unreadable one is removed."""
    records = []
    for path in sorted(folder.glob("*.json")):
        try:
            values = json.loads(path.read_text())
            records.append(Record(**{**values, "goal": shapes.convert(ReplicaGoal, values["goal"])}))
        except (ValueError, TypeError, KeyError, OSError):
            path.unlink(missing_ok=True)
    return records


def clean_environment(threads: int, home: Path, path: str) -> dict[str, str]:
    """The worker's whole environment: no secret of ours is in it."""
    environment = {"PATH": path, "HOME": str(home), "TMPDIR": str(home), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
    environment |= {"USER": "worker", "LOGNAME": "worker"}  # the user of a sandbox has no name
    environment |= {
        "PYTHONPATH": str(PROJECT_ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    return environment | dict.fromkeys(THREAD_VARIABLES, str(threads))


def home_of(goal: ReplicaGoal, socket: Path) -> Path:
    """Make and return the private home of a worker."""
    home = socket.parent / f"{goal.id}.home"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return home


def module_of(goal: ReplicaGoal) -> str:
    """The module that a worker runs."""
    return RUNTIMES[goal.runtime]


def arguments_of(goal: ReplicaGoal, socket: Path, profile: WorkerProfile | None = None) -> list[str]:
    """The command line of a worker, without its interpreter and module; `profile` was decided at an earlier start."""
    arguments = ["--socket", str(socket), "--artifacts", goal.artifacts, "--digest", goal.digest]
    arguments += ["--model", goal.model, "--version", goal.version]
    arguments += ["--decide-s", str(goal.start_timeout_s / DECIDE_PART)]
    if goal.rows_independent:
        arguments.append("--rows-independent")
    if goal.nan_literal:
        arguments.append("--nan-literal")
    return [*arguments, "--profile", shapes.write(profile).decode()] if profile is not None else arguments


def record_of(goal: ReplicaGoal, pid: int, socket: Path, level: str) -> Record:
    """The record of a process that has come. Raises psutil.Error when it is gone."""
    return Record(goal.id, goal.generation, pid, psutil.Process(pid).create_time(), str(socket), goal, level)


def launched(
    goal: ReplicaGoal, python: Path, arguments: list[str], spec: SandboxSpec, channels: WorkerChannels, path: str
) -> "subprocess.Popen[bytes]":
    """Launch a worker; it begins when it was met and told so."""
    talk, log, events, listener = channels.theirs
    command = [str(python), "-m", module_of(goal), *arguments]
    command += ["--events", str(events), "--listener", str(listener)]
    handle = subprocess.Popen(
        launch(spec, talk, command),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=clean_environment(goal.cpu_threads, Path(spec.home), path),
        cwd=spec.home,
        start_new_session=True,
        pass_fds=(talk, events, listener),
    )
    channels.give()
    return handle


def last_line(log: Path, offset: int) -> str:
    """The last line a worker wrote, which is usually why it died."""
    try:
        with open(log, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(offset if offset <= size else 0, size - 4000))  # a log that grew too long began anew
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return shapes.plain_text(lines[-1].strip()[:LINE_MAX_CHARS]) if lines else ""


async def ping(socket: str) -> WorkerProfile | None:
    """How the worker says that it answers; None when it does not answer on its socket in time."""
    try:
        async with asyncio.timeout(PING_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(encode_frame(RequestHeader("ping")))
                header, body = await read_frame(reader, AnswerHeader)
            finally:
                writer.close()
        # One that was started by an older agent has nothing to say of it.
        profile = shapes.read(WorkerProfile, body) if body else WorkerProfile()
    except (OSError, TimeoutError, FrameError, Malformed, asyncio.IncompleteReadError):
        return None
    return profile if header.status == 200 else None


def signal_group(record: Record, number: signal.Signals) -> None:
    """Send a signal to the worker's whole process group, if it is still that very process."""
    if record.is_alive():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(record.pid, number)


async def end(record: Record, handle: "subprocess.Popen[bytes] | None", drain_s: float) -> None:
    """End a worker: SIGTERM, up to `drain_s` seconds, SIGKILL of its group."""
    signal_group(record, signal.SIGTERM)
    deadline = asyncio.get_running_loop().time() + drain_s
    while asyncio.get_running_loop().time() < deadline:
        if has_ended(record, handle):
            break
        await asyncio.sleep(0.05)
    else:
        signal_group(record, signal.SIGKILL)
    if handle:
        await asyncio.to_thread(handle.wait)


def has_ended(record: Record, handle: "subprocess.Popen[bytes] | None") -> bool:
    """Whether the worker has ended; reaps it when it is our child."""
    if handle is not None:
        return handle.poll() is not None
    return not record.is_alive()
