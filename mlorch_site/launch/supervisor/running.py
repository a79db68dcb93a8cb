"""The instance that runs on a data directory: one at a time, and how another process speaks to it."""

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

LOCK_FILE = "up.lock"
STATUS_FILE = Path("run") / "processes.json"
RELOAD_SIGNAL = signal.SIGUSR2
RELOAD_WITHIN_S = 30.0  # for each process
LOOK_S = 0.1


def lock(data_dir: Path) -> int:
    """Take the data directory's lock and return its descriptor; exit when another instance has it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pid = os.read(descriptor, 20).decode().strip()
        sys.exit(
            f"mlorch is running on {data_dir} already (process {pid}). End it first, or give "
            "another directory with --data DIR."
        )
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def _pid(data_dir: Path) -> int:
    """The process that has the lock. Exits with a sentence when nobody has it."""
    nobody = f"mlorch is not running on {data_dir}. Start it with scripts/up, or say where it runs with --data DIR."
    try:
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        sys.exit(nobody)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        sys.exit(nobody)
    except BlockingIOError:
        return int(os.read(descriptor, 20))
    finally:
        os.close(descriptor)


def _gateways(data_dir: Path) -> list[dict[str, Any]]:
    try:
        rows = json.loads((data_dir / STATUS_FILE).read_text())["processes"]
    except FileNotFoundError:
        return []  # it has only begun
    return [row for row in rows if row["name"].startswith("gateway")]


def reload(data_dir: Path) -> None:
    """Have the running instance replace its gateway processes, and tell when each is replaced.

    Exits with a sentence when one is not.
    """
    pid = _pid(data_dir)
    before = {row["name"]: row["pid"] for row in _gateways(data_dir) if row["state"] == "ready"}
    os.kill(pid, RELOAD_SIGNAL)
    waited_for = dict(before)
    deadline = time.monotonic() + RELOAD_WITHIN_S * max(1, len(before))
    while waited_for and time.monotonic() < deadline:
        time.sleep(LOOK_S)
        for row in _gateways(data_dir):
            name, new = row["name"], row["pid"]
            if row["state"] == "ready" and name in waited_for and new != waited_for[name]:
                print(f"{name} was replaced: process {new} instead of {waited_for.pop(name)}", flush=True)
    if waited_for or not before:
        left = ", ".join(waited_for) or "gateway"
        sys.exit(f"{left} could not be replaced and goes on as it was; {data_dir / 'logs' / 'up.log'} says why.")
