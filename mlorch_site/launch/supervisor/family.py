"""Nothing is left behind: processes whose parent died become children of the supervisor, are reaped, and are ended with
it.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36
REAP_AFTER_S = 1.0
REST_GRACE_S = 3.0
LEFTOVER_GRACE_S = 15.0
# `started_at` is written just after the process was made, and the kernel counts in hundredths of a second.
STARTED_TOLERANCE_S = 2.0


def become_subreaper() -> None:
    """Let orphans among our descendants become our own children instead of init's. Without effect outside Linux."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _zombies() -> set[int]:
    found = set()
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if child.status() == psutil.STATUS_ZOMBIE:
                found.add(child.pid)
    return found


async def reap_forever(own: Callable[[], set[int]]) -> None:
    """Reap dead orphans, looking whenever a child of ours has died.

    `own` are the processes that are waited for elsewhere.

    Only what was dead in two looks is reaped: a child that was started this moment may not be among `own` yet, but its
    starter reaps it at once.
    """
    died = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGCHLD, died.set)
    seen: set[int] = set()
    try:
        while True:
            await died.wait()
            died.clear()
            await asyncio.sleep(REAP_AFTER_S)
            dead = _zombies() - own()
            for pid in dead & seen:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            seen = dead - seen
            if seen:
                died.set()
    finally:
        loop.remove_signal_handler(signal.SIGCHLD)


def descendants(pid: int) -> list[psutil.Process]:
    """All processes that came from `pid`, also those in groups of their own."""
    try:
        found: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
    return found


def kill_group(pid: int) -> None:
    """End what is left of a process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def end_processes(processes: list[psutil.Process], grace_s: float) -> None:
    """Ask processes to end, and end those that do not within `grace_s` seconds."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=grace_s)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=1)


def end_rest() -> None:
    """End every descendant that is still there."""
    end_processes(descendants(os.getpid()), REST_GRACE_S)


def leftovers(status_file: Path) -> list[psutil.Process]:
    """The processes of an earlier run that outlived it, with all their descendants.

    A reused process id does not count.
    """
    try:
        rows = json.loads(status_file.read_text())["processes"]
    except (OSError, ValueError, KeyError):
        return []
    found: list[psutil.Process] = []
    for row in rows:
        if not row.get("pid") or not row.get("started_at"):
            continue
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(row["pid"])
            if abs(process.create_time() - row["started_at"]) < STARTED_TOLERANCE_S:
                found += [process, *descendants(process.pid)]
    return found
