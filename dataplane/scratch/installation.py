"""Install the requirements of a version in a Python environment that serves nobody, within limits."""

import asyncio
import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dataplane.agent.python_environments import BadRequirement, BuildFailed, Environments, satisfied_here
from dataplane.agent.sandboxes import Sandboxes
from dataplane.scratch.config import ScratchConfig
from dataplane.wire import shapes
from dataplane.wire.sandbox import SandboxSpec
from dataplane.wire.scratch import INSTALLED_MAX, ScratchTask

LOOK_S = 0.5
MIB = 1024 * 1024
NOISE = ("Using Python", "note: ", "+", "-", "~")  # of the installer's lines
SAID_MAX_CHARS = 300
# What the installer says when it reaches no index, in the words of its versions and of those below it.
UNREACHABLE = re.compile(
    r"are you offline|could not connect|failed to fetch|network (?:was|is) (?:disabled|unreachable)|dns error"
    r"|connection (?:refused|reset|closed)|timed out|error sending request|tcp connect error|invalid peer certificate"
    r"|unavailable because the network",
    re.IGNORECASE,
)


class Uninstallable(Exception):
    """The requirements cannot be installed; the text says why."""


class Unable(Exception):
    """This machine could not find out whether they can; the text says why."""


class BoundedSandboxes(Sandboxes):
    """Builds with a bound on memory; what the agent builds serves, and has none."""

    def __init__(self, config: ScratchConfig, memory_mb: int) -> None:
        super().__init__(config)
        self._memory_bytes = memory_mb * MIB

    def for_build(self, home: Path, writable: list[Path], readable: list[str]) -> SandboxSpec:
        return shapes.changed(super().for_build(home, writable, readable), data_bytes=self._memory_bytes)


class Installation:
    """The interpreter for a task's requirements, and what lies beside it."""

    def __init__(self, config: ScratchConfig, sandboxes: Sandboxes, say: Callable[[str], None]) -> None:
        self._config = config
        self._environments = Environments(config, sandboxes)
        self._say = say

    async def python_for(self, task: ScratchTask) -> Path:
        """Find or build it. Raises Uninstallable and Unable."""
        before = weight(self._config.environments)
        building = asyncio.ensure_future(
            self._environments.python_for(task.requirements, task.python, task.build_requirements)
        )
        try:
            while not (await asyncio.wait({building}, timeout=LOOK_S))[0]:
                self._look(task, before)
            return await building
        except BadRequirement as error:
            raise Uninstallable(f"The requirement {error}.") from error
        except BuildFailed as error:
            raise self._read(str(error), task) from error
        except OSError as error:
            raise Unable(f"An environment cannot be built here: {error}.") from error
        finally:
            building.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await building

    def _look(self, task: ScratchTask, before: int) -> None:
        for build in self._environments.builds.values():
            if not build.progress.startswith(NOISE):
                self._say(build.progress)
        if weight(self._config.environments) - before > task.disk_mb * MIB:
            raise Uninstallable(f"The requirements take more than {task.disk_mb} MiB of disk.")

    def _read(self, said: str, task: ScratchTask) -> Exception:
        """What the installer's end means: no index is nobody's fault, and no finding about the version."""
        lines = [line for build in self._environments.builds.values() for line in build.log.splitlines()]
        log = " ".join(line.removeprefix("error: ") for line in lines if line and not line.startswith(NOISE))
        words = shapes.cut(log or said)[:SAID_MAX_CHARS].rstrip(" .")
        if UNREACHABLE.search(log):
            return Unable(f"The package index cannot be reached from here: {words}.")
        if "not installed beside" in said or "not built within" in said or "sandbox cannot be made" in log:
            return Unable(f"An environment cannot be built here: {shapes.cut(said)[:SAID_MAX_CHARS]}.")
        if "memory allocation" in log:
            return Uninstallable(f"To install the requirements takes more than {task.memory_mb} MB of memory.")
        return Uninstallable(f"The requirements cannot be installed: {words}.")


def weight(folder: Path) -> int:
    """The bytes under a folder; what goes meanwhile is not counted."""
    whole = 0
    for place, _, names in os.walk(folder, onerror=None):
        for name in names:
            with contextlib.suppress(OSError):
                whole += os.lstat(os.path.join(place, name)).st_size
    return whole


def installed_beside(python: Path) -> list[str]:
    """`name==version` of what an environment holds, by the names of its folders: nothing of it is opened."""
    found = []
    for folder in python.parent.parent.glob("lib/python*/site-packages/*.dist-info"):
        name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
        if name and version and shapes.plain_text(folder.name).isascii():
            found.append(f"{name.replace('_', '-').lower()}=={version}"[:200])
    return sorted(found)[:INSTALLED_MAX]


def is_met_here(lines: list[str]) -> bool:
    """Whether our own environment meets all of them. Raises Uninstallable."""
    try:
        return satisfied_here(lines)
    except BadRequirement as error:
        raise Uninstallable(f"The requirement {error}.") from error


async def install(config: ScratchConfig, task: ScratchTask, say: Callable[[str], None]) -> dict[str, Any]:
    """Install; what the end of the run says. Raises Uninstallable and Unable."""
    if is_met_here(task.requirements):
        return {"sentence": "The platform's own environment meets all requirements."}
    sandboxes = BoundedSandboxes(config, task.memory_mb)
    python = await Installation(config, sandboxes, say).python_for(task)
    found = installed_beside(python)
    return {
        "sentence": f"{len(found)} packages were installed.",
        "installed": found,
        "has_own_environment": True,
        "sandbox": sandboxes.sentence,
    }
