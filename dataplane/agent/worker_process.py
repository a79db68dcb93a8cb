"""One worker process: start it with a clean environment and limits, watch it, end its whole group."""

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

from dataplane.wire import shapes
from dataplane.wire.agent_sync import ReplicaGoal
from dataplane.wire.frames import AnswerHeader, FrameError, RequestHeader, encode_frame, read_frame
from dataplane.wire.shapes import Malformed
from dataplane.wire.worker_start import StartEvent
from dataplane.wire.worker_ways import Ways
from dataplane.worker.threads import THREAD_VARIABLES

PROJECT_ROOT = Path(__file__).resolve().parents[2]
LOG_MAX_BYTES = 5 * 1024 * 1024
OPEN_FILES_MAX = 1024
PING_TIMEOUT_S = 5.0
DECIDE_PART = 2  # of the time that a worker has to start, that it may take to decide how it answers
RUNTIMES = {"": "dataplane.worker.__main__", "echo": "dataplane.worker.echo"}


@dataclass(frozen=True)
class Record:
    """What is written down about a running worker, so that another agent process can adopt it.

    `born` is the process's start time as the kernel tells it: a reused process id has another one.
    """

    replica: str
    generation: int
    pid: int
    born: float
    socket: str
    goal: ReplicaGoal

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


def open_log(path: Path) -> int:
    """Open the worker's log for appending, starting over when it has grown past its bound."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_MAX_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def clean_environment(threads: int, home: Path, path: str) -> dict[str, str]:
    """The worker's whole environment: no secret of ours is in it."""
    environment = {"PATH": path, "HOME": str(home), "TMPDIR": str(home), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
    environment |= {
        "PYTHONPATH": str(PROJECT_ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    return environment | dict.fromkeys(THREAD_VARIABLES, str(threads))


def data_limit(memory_mb: int) -> int:
    """The bound on a worker's data in bytes; its watched memory comes first."""
    return 4 * memory_mb * 1024 * 1024


def _limit(memory_mb: int) -> None:
    """Runs in the child before exec: no core dumps, few files, a bound on data."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES_MAX, OPEN_FILES_MAX))
    data = data_limit(memory_mb)
    resource.setrlimit(resource.RLIMIT_DATA, (data, data))


def home_of(goal: ReplicaGoal, socket: Path) -> Path:
    """Make and return the private home of a worker."""
    home = socket.parent / f"{goal.id}.home"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return home


def module_of(goal: ReplicaGoal) -> str:
    """The module that a worker runs."""
    return RUNTIMES[goal.runtime]


def arguments_of(goal: ReplicaGoal, socket: Path, ways: Ways | None = None) -> list[str]:
    """The command line of a worker, without its interpreter and module; `ways` were decided at an earlier start."""
    arguments = ["--socket", str(socket), "--artifacts", goal.artifacts, "--digest", goal.digest]
    arguments += ["--model", goal.model, "--version", goal.version]
    arguments += ["--decide-s", str(goal.start_timeout_s / DECIDE_PART)]
    if goal.rows_independent:
        arguments.append("--rows-independent")
    if goal.nan_literal:
        arguments.append("--nan-literal")
    return [*arguments, "--ways", shapes.write(ways).decode()] if ways is not None else arguments


def start(
    goal: ReplicaGoal, python: Path, socket: Path, log: Path, path: str, ways: Ways | None = None
) -> tuple[Record, "subprocess.Popen[bytes]", int]:
    """Start a worker; return its record, its handle, and where its part of the log begins."""
    home = home_of(goal, socket)
    descriptor = open_log(log)
    offset = os.fstat(descriptor).st_size
    memory_mb = goal.memory_limit_mb
    try:
        handle = subprocess.Popen(
            [str(python), "-m", module_of(goal), *arguments_of(goal, socket, ways)],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            env=clean_environment(goal.cpu_threads, home, path),
            cwd=home,
            start_new_session=True,
            preexec_fn=lambda: _limit(memory_mb),
        )
    finally:
        os.close(descriptor)
    born = psutil.Process(handle.pid).create_time()
    return Record(goal.id, goal.generation, handle.pid, born, str(socket), goal), handle, offset


def events(log: Path, offset: int) -> tuple[list[StartEvent], int]:
    """The worker's events written since `offset`, and the new offset.

    Lines that are not events are the model's own output.
    """
    found = []
    with contextlib.suppress(OSError), open(log, "rb") as file:
        file.seek(offset)
        chunk = file.read(1024 * 1024)
        whole = chunk[: chunk.rfind(b"\n") + 1]
        for line in whole.splitlines():
            if line.startswith(b'{"event"'):
                with contextlib.suppress(Malformed):
                    found.append(shapes.read(StartEvent, line))
        offset += len(whole)
    return found, offset


def last_line(log: Path, offset: int) -> str:
    """The last line a worker wrote, which is usually why it died."""
    try:
        with open(log, "rb") as file:
            file.seek(max(offset, os.fstat(file.fileno()).st_size - 4000))
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1].strip()[:300] if lines else ""


async def ping(socket: str) -> Ways | None:
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
        ways = shapes.read(Ways, body) if body else Ways()
    except (OSError, TimeoutError, FrameError, Malformed, asyncio.IncompleteReadError):
        return None
    return ways if header.status == 200 else None


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
