"""What versions' workers decided about how they answer, kept for their next start (docs/wire.md section 6).

It is a property of the files, the Python environment, the worker's own code and the owner's declaration: the key. So it
is decided once, and all replicas of a version on this machine agree.
"""

import asyncio
import contextlib
import hashlib
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from functools import cached_property
from pathlib import Path

from dataplane.wire import shapes
from dataplane.wire.agent_sync import ReplicaGoal
from dataplane.wire.shapes import Malformed
from dataplane.wire.worker_profile import WorkerProfile

KEPT_MAX = 1000
DATA_PLANE = Path(__file__).resolve().parents[1]


def packages_of(python: Path) -> list[str]:
    """The distributions of an interpreter's environment with their versions, as their folders are named."""
    prefix = python.parent.parent
    own = [Path(entry) for entry in sys.path if entry] if python == Path(sys.executable) else []
    folders = own or list(prefix.glob("lib/python*/site-packages"))
    # The library's folder carries the version of Python.
    return sorted(
        {f"{info.parent.parent.name}/{info.name}" for folder in folders for info in folder.glob("*.dist-info")}
    )


class KeptProfiles:
    """The files of one agent, one per key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._deciding: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @cached_property
    def _code(self) -> bytes:
        """The worker's code as it is now."""
        sources = sorted(path for room in ("worker", "wire") for path in (DATA_PLANE / room).rglob("*.py"))
        return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).digest()

    def key_of(self, goal: ReplicaGoal, python: Path) -> str:
        """The key of what a goal's worker decides when it runs with an interpreter."""
        told = [goal.digest, str(goal.rows_independent), *packages_of(python)]
        return hashlib.sha256(self._code + "\n".join(told).encode()).hexdigest()

    def read(self, key: str) -> WorkerProfile | None:
        """What was decided; None when nothing was, or the file is torn."""
        try:
            return shapes.read(WorkerProfile, self._path(key).read_bytes())
        except (OSError, Malformed):
            return None

    @contextlib.asynccontextmanager
    async def deciding(self, key: str) -> AsyncIterator[WorkerProfile | None]:
        """What was decided when it is this one's turn: who comes while another decides waits for it."""
        async with self._deciding[key]:
            yield self.read(key)

    def keep(self, key: str, profile: WorkerProfile) -> None:
        """Write down what was decided. Without room on the disk the next start decides anew."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = self._folder / f".{key}.{os.getpid()}"
            temporary.write_bytes(shapes.write(profile))
            temporary.replace(self._path(key))
            for path in sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-KEPT_MAX]:
                path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"
