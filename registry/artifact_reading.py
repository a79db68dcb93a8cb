"""Artifacts are read in a sandbox of their own: whoever may register a version chose what the parsers get to see.

The process reads the one folder, has no network, and its memory, time and answer are bounded. Whatever goes wrong in it
is an error and never a pass.
"""

import contextlib
import functools
import os
import select
import site
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, TypeVar

import psutil
import structlog
from django.conf import settings
from msgspec import Struct

from dataplane.wire import shapes
from dataplane.wire.sandbox import SandboxLevel, SandboxSpec
from dataplane.wire.shapes import Malformed
from mlorch_site.lib.errors import Invalid
from registry import artifact_reader
from registry.artifact_facts import storable
from registry.artifact_reader import ExampleOutput, FactsAnswer, Readings

log = structlog.get_logger(__name__)

READ_WITHIN_S = 100.0  # less than a release's checks may take before they are run again
MEMORY_MAX_BYTES = 1024**3
ANSWER_MAX_BYTES = 8 * 1024 * 1024
READER_UID = 1_799_000_001  # nobody else's; where root reads, which it does not as itself
TRY_WITHIN_S = 20.0
CHUNK_BYTES = 64 * 1024
PACKAGES = ("registry", "dataplane")

ShapeT = TypeVar("ShapeT", bound=Struct)


class NotRead(Invalid):
    """The files of a version could not be looked at; the text says why."""


def facts_of(folder: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Facts for `Version.evidence`, and the signature or None, of the artifacts in a folder. Raises NotRead."""
    answer = _asked("facts", folder, FactsAnswer)
    try:
        facts = storable(shapes.plain(answer.facts))
        return facts, storable(shapes.plain(answer.signature)) if answer.signature else None
    except ValueError as error:
        raise NotRead(f"The files of the version cannot be looked at: {error}.") from error


def readings_of(folder: Path) -> Readings:
    """What reading the artifacts in a folder runs. Raises NotRead."""
    return _asked("code", folder, Readings)


def example_output_of(folder: Path) -> Any:
    """The predictions that a version records for its input example, None when it records none. Raises NotRead."""
    answer = _asked("example_output", folder, ExampleOutput)
    return answer.predictions if answer.is_there else None


def _asked(question: str, folder: Path, shape: type[ShapeT]) -> ShapeT:
    try:
        if not settings.ARTIFACTS_READ_IN_SANDBOX:
            return shapes.read(shape, shapes.write(artifact_reader.QUESTIONS[question](folder)))
        return shapes.read(shape, _said(question, folder))
    except Malformed as error:
        raise NotRead(f"The files of the version cannot be looked at: their reader says nonsense ({error}).") from error


def _said(question: str, folder: Path) -> bytes:
    level, user = _best()
    command = [sys.executable, "-m", "registry.artifact_reader", question, str(folder)]
    with _home() as home:
        process = _launched(_spec(level, user, home, folder), command)
        try:
            answer = _read(process)
            code = process.wait(READ_WITHIN_S)
        except (TimeoutError, subprocess.TimeoutExpired):
            raise NotRead(f"The files of the version could not be looked at within {READ_WITHIN_S:g} s.") from None
        finally:
            _end(process)
    if code != 0:
        raise NotRead(f"The files of the version cannot be looked at: their reader {_how(code)}.")
    return answer


def _how(code: int) -> str:
    """How the reader ended. A signal is told by the process around it as 128 more than its number."""
    return f"was ended by signal {code - 128}" if code > 128 else f"ended with {code}; it may need too much memory"


def _read(process: subprocess.Popen[bytes]) -> bytes:
    """What the process writes until it closes its output. Raises NotRead for too much, TimeoutError."""
    assert process.stdout is not None
    deadline, whole = time.monotonic() + READ_WITHIN_S, b""
    while True:
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError
        part = os.read(process.stdout.fileno(), CHUNK_BYTES)
        whole += part
        if len(whole) > ANSWER_MAX_BYTES:
            raise NotRead(f"The files of the version say more than {ANSWER_MAX_BYTES >> 20} MiB about themselves.")
        if not part:
            return whole


def _launched(spec: SandboxSpec, command: list[str]) -> subprocess.Popen[bytes]:
    launcher = [sys.executable, "-m", "dataplane.sandbox.launcher", shapes.write(spec).decode(), "-1"]
    return subprocess.Popen(
        [*launcher, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={"PATH": os.defpath, "PYTHONPATH": str(settings.BASE_DIR), "PYTHONDONTWRITEBYTECODE": "1"},
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and whatever came of it: inside it leads a session of its own."""
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


@contextlib.contextmanager
def _home() -> Any:
    with tempfile.TemporaryDirectory(prefix="mlorch-read-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "home"


def _spec(level: SandboxLevel, user: int, home: Path, folder: Path | None) -> SandboxSpec:
    home.mkdir(mode=0o700, exist_ok=True)
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, *site.getsitepackages()}
    own = [str(settings.BASE_DIR / package) for package in PACKAGES]
    shown = [str(folder)] if folder else []
    return SandboxSpec(
        level,
        str(home),
        [*sorted(prefixes - {"/", "/usr"}), *own, *shown],
        hidden=[str(settings.DATA_DIR)],
        data_bytes=MEMORY_MAX_BYTES,
        user=user,
        groups=[folder.stat().st_gid] if user and folder else [],
    )


@functools.cache
def _best() -> tuple[SandboxLevel, int]:
    """The best sandbox that this process can make, and the user in it: found out once, by making one."""
    users = [READER_UID, 0] if os.geteuid() == 0 else [0]
    choices: list[tuple[SandboxLevel, int]] = [*(("full", user) for user in users), ("partly", 0)]
    for level, user in choices:
        if _works(level, user):
            return level, user
    log.warning("artifacts.read_without_sandbox")
    return "none", 0


def _works(level: SandboxLevel, user: int) -> bool:
    with _home() as home:
        process = _launched(_spec(level, user, home, None), [sys.executable, "-c", "import registry.artifact_reader"])
        try:
            return process.wait(TRY_WITHIN_S) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            _end(process)
