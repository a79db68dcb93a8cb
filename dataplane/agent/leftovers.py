"""What workers leave behind and nobody needs any more: environments of Python, logs, homes."""

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path

import structlog

from dataplane.agent.python_environments import BadRequirement, key_of
from dataplane.wire.agent_sync import ReplicaGoal

log = structlog.get_logger(__name__)

TIDY_S = 3600.0
LOGS_KEPT_S = 30 * 24 * 3600.0  # after the last line


def environments_of(goals: Iterable[ReplicaGoal]) -> set[str]:
    """The keys of the environments that goals run in, or would if ours did not do."""
    keys = set()
    for goal in goals:
        with contextlib.suppress(BadRequirement):
            keys.add(key_of([*goal.requirements, *goal.build_requirements], goal.python))
    return keys


def delete(folders: Iterable[Path]) -> None:
    """Delete folders that were put away; one that stays is tried again the next time."""
    for folder in folders:
        try:
            shutil.rmtree(folder)
        except (OSError, RecursionError) as error:
            log.warning("leftover.not_deleted", folder=folder.name, error=str(error)[:200])


def delete_logs(folder: Path, running: set[str], now: float) -> None:
    """Delete the logs of workers and templates that have written nothing for long; `running` are replicas that run."""
    for path in folder.glob("*.log*"):
        with contextlib.suppress(OSError):
            if path.name.partition(".")[0] not in running and now - path.lstat().st_mtime > LOGS_KEPT_S:
                path.unlink()


def delete_homes(sockets: Path) -> None:
    """Delete the homes of workers and templates of which none lives any more."""
    for path in sockets.glob("*.home"):
        if not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
