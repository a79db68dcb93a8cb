"""The folder of one run: it is held by a lock while the run lasts, and whoever comes next clears those nobody holds."""

import contextlib
import fcntl
import os
import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil

from dataplane.agent import worker_process
from dataplane.agent.python_environments import CACHE
from dataplane.scratch.config import ScratchConfig
from dataplane.scratch.installation import weight

IN_USE, LOADS = "in-use.lock", "load.lock"
KEPT_MAX = 8  # environments
CACHE_MAX_BYTES = 20 * 1024**3


class NotOurs(OSError):
    """The folder of runs belongs to somebody else."""


@contextlib.contextmanager
def run_folder(config: ScratchConfig) -> Iterator[Path]:
    """A private folder for this run, gone afterwards; what runs left behind that were killed goes first."""
    config.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    config.runs.mkdir(parents=True, exist_ok=True, mode=0o700)
    seen = config.runs.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid():
        raise NotOurs(f"{config.runs} belongs to somebody else")
    with open(config.root / IN_USE, "w") as in_use:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused while another run lives
            _clear(config.runs)
            _tidy(config.environments)
        fcntl.flock(in_use, fcntl.LOCK_SH)
        config.folder.mkdir(mode=0o700)
        try:
            yield config.folder
        finally:
            shutil.rmtree(config.folder, ignore_errors=True)
            if config.runs.parent != config.root:  # a short one in the temporary folder
                with contextlib.suppress(OSError):
                    config.runs.rmdir()


def _clear(runs: Path) -> None:
    """End the workers of runs that are dead, and delete their folders."""
    for folder in runs.iterdir():
        for record in worker_process.saved_records(folder):
            worker_process.signal_group(record, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def _tidy(environments: Path) -> None:
    """Delete what builds left that were killed, the environments that were used longest ago beyond a few, and a cache
    that grew too large.
    """
    folders = [path for path in environments.glob("*") if path.is_dir() and not path.is_symlink()]
    known = sorted((path for path in folders if path.name[0] != "."), key=lambda path: path.lstat().st_mtime)
    left = [path for path in folders if path.name[0] == "." and path.name != CACHE]
    cache = environments / CACHE
    too_large = [cache] if weight(cache) > CACHE_MAX_BYTES else []
    for path in [*left, *known[: -KEPT_MAX or None], *too_large]:
        shutil.rmtree(path, ignore_errors=True)


def end_children() -> None:
    """Kill every process that came of this one: inside a sandbox they lead sessions of their own."""
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
