"""Python environments of versions: ours when it satisfies the version, otherwise an isolated one built with uv and
cached by key.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import importlib.metadata
import math
import os
import re
import shutil
import signal
import stat
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from packaging.requirements import InvalidRequirement, Requirement

from dataplane.agent.config import AgentConfig
from dataplane.agent.sandboxes import PROJECT_ROOT, Sandboxes, launch
from dataplane.wire import shapes
from dataplane.wire.agent_sync import PROGRESS_MAX_CHARS, BuildObservation

# What the worker itself needs beside the version's own requirements: the decoder of its native path.
RUNTIME_REQUIREMENTS = ("msgspec>=0.22,<1",)
LINES_MAX = 500
LINE_MAX_CHARS = 300
BUILD_TIMEOUT_S = 1800
ALL_READ, ALL_READ_AND_ENTER = 0o444, 0o555
RETRY_AFTER_S = 60
LOG_TAIL_CHARS = 4000
# What an installer needs of our environment beside its own variables: how to reach an index.
PASSED_ON = {
    "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
    "http_proxy", "https_proxy", "all_proxy", "no_proxy",
}  # fmt: skip
SETTINGS = ("/etc/uv", "/etc/xdg/uv", "/etc/netrc")
TRASH, CACHE = ".trash-", ".cache"
ENVIRONMENTS_KEPT_S = 30 * 24 * 3600.0  # after the last use
BUILD_LEFT_S = 24 * 3600.0  # far longer than a build takes
_KEY = re.compile(r"[0-9a-f]{64}")
_WORK = re.compile(r"\.[0-9a-f]{64}(\.[0-9]+|\.home)")
_LINE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._\-]*(\[[A-Za-z0-9._,\- ]+\])?\s*([<>=!~][^;@/\\]*)?(;[^@/\\]*)?$")


class BadRequirement(Exception):
    """A requirement line that mlorch will not install; the text names it."""


class BuildFailed(Exception):
    """The environment could not be built; the text is the installer's last sentence."""


def parse(lines: list[str]) -> list[Requirement]:
    """The requirements of a version.

    Raises BadRequirement for URLs, paths, options and anything that is no name with versions.
    """
    if len(lines) > LINES_MAX:
        raise BadRequirement(f"more than {LINES_MAX} requirement lines")
    requirements = []
    for raw in lines:
        line = raw.split("#", 1)[0].strip()
        if not line:
            continue
        if len(line) > LINE_MAX_CHARS or not _LINE.match(line):
            raise BadRequirement(
                f"'{line[:80]}' is not a package name with versions; URLs, paths and options are refused"
            )
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            raise BadRequirement(f"'{line[:80]}': {error}") from error
        if requirement.url:
            raise BadRequirement(f"'{line[:80]}': URLs are refused")
        requirements.append(requirement)
    return requirements


def key_of(lines: list[str], python: str) -> str:
    """The cache key: SHA-256 over the sorted, normalised lines and the Python version (major and minor)."""
    normal = sorted(str(requirement).lower() for requirement in parse([*lines, *RUNTIME_REQUIREMENTS]))
    minor = ".".join(python.split(".")[:2])
    return hashlib.sha256("\n".join([minor, *normal]).encode()).hexdigest()


def satisfied_here(lines: list[str]) -> bool:
    """Whether this process's own environment meets every requirement, with the extras that it names."""
    return all(_is_met(requirement, frozenset()) for requirement in parse(lines))


def _is_met(requirement: Requirement, above: frozenset[tuple[str, str]], extra: str = "") -> bool:
    """Whether a requirement is met; `above` are the extras that are being looked at already, which may name each
    other.
    """
    if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
        return True
    try:
        version = importlib.metadata.version(requirement.name)
        needed = importlib.metadata.requires(requirement.name) if requirement.extras else None
    except importlib.metadata.PackageNotFoundError:
        return False
    if not requirement.specifier.contains(version, prereleases=True):
        return False
    return all(
        _is_met(part, above | {(requirement.name, own)}, own)
        for own in requirement.extras
        if (requirement.name, own) not in above
        for part in map(Requirement, needed or ())
        if part.marker and not part.marker.evaluate({"extra": ""})
    )


def _kept_s(name: str) -> float:
    """How long after its last use a folder among the environments stays."""
    if name.startswith(TRASH):
        return 0.0
    if _KEY.fullmatch(name) or name == CACHE:
        return ENVIRONMENTS_KEPT_S
    return BUILD_LEFT_S if _WORK.fullmatch(name) else math.inf


def let_be_read(environment: Path) -> None:
    """Let workers of a user of their own read an environment that was built so that only its builder could."""
    if environment.stat().st_mode & stat.S_IROTH:
        return
    for folder, _, names in os.walk(environment, topdown=False):
        for path in [*(Path(folder) / name for name in names), Path(folder)]:
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(mode | (ALL_READ_AND_ENTER if mode & stat.S_IXUSR else ALL_READ))


@dataclass
class Build:
    """What is known of one environment: `state` is building, ready or failed."""

    key: str
    state: Literal["building", "ready", "failed"] = "building"
    progress: str = "waiting"
    log: str = ""
    failed_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def report(self) -> BuildObservation:
        """The build as the sync reports it."""
        return BuildObservation(self.key, self.state, self.progress[:PROGRESS_MAX_CHARS], self.log[-LOG_TAIL_CHARS:])


class Environments:
    """Finds or builds the interpreter that a version runs in."""

    def __init__(self, config: AgentConfig, sandboxes: Sandboxes) -> None:
        self._config = config
        self._sandboxes = sandboxes
        self._root = config.environments
        self.builds: dict[str, Build] = {}

    async def python_for(self, lines: list[str], python: str, build_lines: list[str] | None = None) -> Path:
        """The interpreter for these requirements, building its environment first when there is none.

        An environment of its own gets what the version was built with too (`build_lines`): setuptools is imported by
        libraries that do not require it.

        Raises BadRequirement or BuildFailed. A failed build is tried again after `RETRY_AFTER_S` at the earliest.
        """
        if satisfied_here(lines):
            return Path(sys.executable)
        lines = [*lines, *(build_lines or [])]
        key = key_of(lines, python)
        target = self._root / key
        interpreter = target / "bin" / "python"
        build = self.builds.setdefault(key, Build(key))
        async with build.lock:
            if interpreter.exists():
                os.utime(target)  # of its last use
                await asyncio.to_thread(let_be_read, target)
                build.state, build.progress = "ready", "ready"
                return interpreter
            if build.state == "failed" and time.monotonic() - build.failed_at < RETRY_AFTER_S:
                raise BuildFailed(build.progress)
            build.state, build.log = "building", ""
            try:
                await self._build(build, target, lines)
            except (BuildFailed, OSError) as error:
                build.state, build.progress, build.failed_at = (
                    "failed",
                    str(error)[:PROGRESS_MAX_CHARS],
                    time.monotonic(),
                )
                raise BuildFailed(str(error)) from error
            build.state, build.progress = "ready", "ready"
        return interpreter

    def put_away(self, used: set[str], now: float) -> list[Path]:
        """Take the environments that nobody used for long out of the way, and what builds left; the paths to delete.

        Those with a key in `used` are in use now. What is no environment of ours is left alone.
        """
        gone = []
        for path in list(self._root.iterdir()) if self._root.is_dir() else []:
            if path.name in used:
                os.utime(path)
            elif path.is_dir() and not path.is_symlink() and now - path.lstat().st_mtime > _kept_s(path.name):
                trash = path if path.name.startswith(TRASH) else path.with_name(f"{TRASH}{path.name.strip('.')}")
                with contextlib.suppress(OSError):  # one of an earlier time lies there: it is deleted first
                    gone.append(path.rename(trash))
                self.builds.pop(path.name, None)
        return gone

    async def _build(self, build: Build, target: Path, lines: list[str]) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        with open(self._root / f".{build.key}.lock", "w") as lock:
            await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
            if target.exists():
                return
            work = self._root / f".{build.key}.{os.getpid()}"
            try:
                await self._fill(build, work, lines)
                (work / "environment").rename(target)
            finally:
                for left in (work, work.with_suffix(".home")):
                    shutil.rmtree(left, ignore_errors=True)

    async def _fill(self, build: Build, work: Path, lines: list[str]) -> None:
        """Build the environment in a folder that is gone afterwards."""
        shutil.rmtree(work, ignore_errors=True)
        for folder in (work, work.with_suffix(".home"), self._cache(work)):
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            os.utime(folder)  # of the cache's last use
        new = work / "environment"
        build.progress = "making the environment"
        await self._uv(build, work, "venv", "--relocatable", "--python", sys.executable, str(new))
        wanted = [str(requirement) for requirement in parse([*lines, *RUNTIME_REQUIREMENTS])]
        build.progress = f"installing {len(wanted)} requirements"
        python = str(new / "bin" / "python")
        await self._uv(build, work, "pip", "install", *self._sources(), "--python", python, "--", *wanted)

    def _cache(self, work: Path) -> Path:
        """Where wheels are kept: for all builds, unless one may run code that would leave something for the others."""
        return work / "cache" if self._config.source_builds else self._root / CACHE

    def _sources(self) -> list[str]:
        """Wheels only: to build a package from source is to run its code. An administrator may name exceptions."""
        exceptions = [option for name in self._config.source_builds for option in ("--no-binary", name)]
        return ["--only-binary", ":all:", *exceptions]

    @staticmethod
    def _given() -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name in PASSED_ON or name.startswith("UV_")}

    def _variables(self, work: Path) -> dict[str, str]:
        """The whole environment of a build: what the installer is to be told, and no secret of ours."""
        own = {"PATH": self._config.path, "HOME": str(work.with_suffix(".home")), "TMPDIR": str(work)}
        own |= {"PYTHONPATH": str(PROJECT_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}  # of the launcher
        return (
            self._given()
            | own
            | {"UV_CACHE_DIR": str(self._cache(work)), "UV_LINK_MODE": "copy", "UV_NO_PROGRESS": "1"}
        )

    async def _uv(self, build: Build, work: Path, *arguments: str) -> None:
        uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{self._config.path}")
        if uv is None:
            raise BuildFailed("uv is not installed beside the agent")
        await self._sandboxes.look()
        variables = self._variables(work)
        named = [value for value in self._given().values() if value.startswith("/") and os.path.exists(value)]
        spec = self._sandboxes.for_build(work.with_suffix(".home"), [work, self._cache(work)], [uv, *SETTINGS, *named])
        process = await asyncio.create_subprocess_exec(
            *launch(spec, -1, [uv, *arguments]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=variables,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(BUILD_TIMEOUT_S):
                code = await _followed(build, process)
        except TimeoutError:
            raise BuildFailed(f"the environment was not built within {BUILD_TIMEOUT_S} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        if code != 0:
            last = [line for line in build.log.splitlines() if line.strip()]
            raise BuildFailed(
                "the environment could not be built: "
                + (" ".join(last[-3:])[:250] if last else f"uv ended with {code}")
            )


async def _followed(build: Build, process: asyncio.subprocess.Process) -> int:
    """Keep what the installer says until it ends; return its exit code."""
    assert process.stderr is not None
    async for raw in process.stderr:
        line = shapes.plain_text(raw.decode(errors="replace").strip())
        build.log = (build.log + line + "\n")[-4 * LOG_TAIL_CHARS :]
        if line and not line.startswith(("+", "-", "~")):
            build.progress = line[:200]
    return await process.wait()
