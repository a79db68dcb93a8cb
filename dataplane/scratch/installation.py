"""Install the requirements of a version in a Python environment that serves nobody, within limits."""

import asyncio
import contextlib
import importlib.metadata
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dataplane.agent.python_environments import BadRequirement, BuildFailed, Environments, parse, satisfied_here
from dataplane.agent.sandboxes import Sandboxes
from dataplane.scratch.config import ScratchConfig
from dataplane.wire import shapes
from dataplane.wire.sandbox import SandboxSpec
from dataplane.wire.scratch import INSTALLED_MAX, ScratchTask

LOOK_S = 0.5
MIB = 1024 * 1024
NOISE = ("Using ", "Creating ", "Resolved ", "note: ", "+", "-", "~")  # of the installer's lines
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
            python = await building
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
        if str(python) != sys.executable and weight(python.parent.parent) > task.disk_mb * MIB:
            raise Uninstallable(f"The requirements take more than {task.disk_mb} MiB of disk.")
        return python

    def _look(self, task: ScratchTask, before: int) -> None:
        for build in self._environments.builds.values():
            is_noise = build.progress.startswith(NOISE)
            self._say(f"installing {len(task.requirements)} requirements" if is_noise else build.progress)
        if weight(self._config.environments) - before > task.disk_mb * MIB:
            raise Uninstallable(f"The requirements take more than {task.disk_mb} MiB of disk.")

    def _read(self, said: str, task: ScratchTask) -> Exception:
        """What the installer's end means: no index is nobody's fault, and no finding about the version."""
        lines = [line for build in self._environments.builds.values() for line in build.log.splitlines()]
        told = [line for line in lines if line and not line.startswith(NOISE)]
        log = " ".join(line.removeprefix("error: ").removeprefix("cause: ") for line in told)
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


def installed_here(lines: list[str]) -> list[str]:
    """`name==version` of the packages that requirements name and pull in, as our own environment has them."""
    found: dict[str, str] = {}
    waiting = parse(lines)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        seen = f"{name}[{','.join(sorted(requirement.extras))}]"
        extras = ["", *requirement.extras]
        is_wanted = not requirement.marker or any(requirement.marker.evaluate({"extra": extra}) for extra in extras)
        if seen in found or not is_wanted:
            continue
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[seen] = f"{name}=={importlib.metadata.version(name)}"
            for part in map(Requirement, importlib.metadata.requires(name) or ()):
                if not part.marker or any(part.marker.evaluate({"extra": extra}) for extra in extras):
                    part.marker = None  # it was asked with the extras of the package that names it
                    waiting.append(part)
    return sorted(set(found.values()))[:INSTALLED_MAX]


async def install(config: ScratchConfig, task: ScratchTask, say: Callable[[str], None]) -> dict[str, Any]:
    """Install; what the end of the run says. Raises Uninstallable and Unable."""
    if is_met_here(task.requirements):
        return {
            "sentence": "The platform's own environment meets all requirements.",
            "installed": installed_here(task.requirements),
        }
    sandboxes = BoundedSandboxes(config, task.memory_mb)
    python = await Installation(config, sandboxes, say).python_for(task)
    found = installed_beside(python)
    return {
        "sentence": f"{len(found)} packages were installed.",
        "installed": found,
        "has_own_environment": True,
        "sandbox": sandboxes.sentence,
    }
