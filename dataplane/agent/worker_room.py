"""How much a running worker may take of what no limit of the kernel bounds: its log, threads, temporary files."""

import contextlib
import os
from pathlib import Path

from dataplane.agent.worker_channels import LOG_MAX_BYTES
from dataplane.agent.worker_process import Record

HOME_MAX_BYTES = 256 * 1024**2
THREADS_MAX = 1024


def problem_of(record: Record, log: Path) -> str:
    """What the worker took too much of, as a sentence; empty when it did not. Its log is cut."""
    bound_log(log)
    if threads(record) > THREADS_MAX:
        return f"The worker had more than {THREADS_MAX} threads"
    # A sandbox with a file tree of its own has its temporary files in it, bounded.
    if not record.sandbox.startswith("full") and home_bytes(record) > HOME_MAX_BYTES:
        return f"The worker wrote more than {HOME_MAX_BYTES >> 20} MB to its temporary folder"
    return ""


def bound_log(log: Path) -> None:
    """Let the log of a running worker not grow without end: its newest part is kept beside it and it begins anew."""
    with contextlib.suppress(OSError):
        if log.stat().st_size <= LOG_MAX_BYTES:
            return
        with open(log, "rb+") as file:
            file.seek(-LOG_MAX_BYTES, os.SEEK_END)
            log.with_suffix(".log.1").write_bytes(file.read(LOG_MAX_BYTES))
            file.truncate(0)


def threads(record: Record) -> int:
    """How many threads the worker has, 0 when it is gone."""
    try:
        return len(os.listdir(f"/proc/{record.pid}/task"))
    except OSError:
        return 0


def home_bytes(record: Record) -> int:
    """What the worker has in its temporary folder."""
    total = 0
    for folder, _, names in os.walk(Path(record.socket).with_suffix(".home")):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return total
