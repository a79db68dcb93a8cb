"""Start a scratch run (`dataplane.scratch`), follow it, and end it: when it is done, too late, or nobody wants it."""

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
from django.conf import settings

from dataplane.wire import shapes
from dataplane.wire.scratch import LINE_MAX_BYTES, ScratchLine, ScratchTask
from dataplane.wire.shapes import Malformed
from mlorch_site.lib.errors import Unavailable

COMMAND = [sys.executable, "-m", "dataplane.scratch"]
LOOK_S = 1.0
RENEW_S = 5.0  # so often whoever asked is told that the run goes on, and may call it off
MARGIN_S = 15.0  # beyond the run's own deadline, in which it clears up
CHUNK_BYTES = 64 * 1024


class NotRun(Unavailable):
    """The run did not come to an end; the text says why."""


def scratch_run(task: ScratchTask, say: Callable[[str], None]) -> ScratchLine:
    """The last line of a run. `say` gets each step of it, and the present one again every few seconds; what it raises
    calls the run off.

    Raises NotRun. However it ends, no process of it is left.
    """
    process = subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=_variables(),
        start_new_session=True,
    )
    ours: set[psutil.Process] = set()
    try:
        return _followed(process, task, say, ours)
    except Malformed as error:
        raise NotRun(f"The scratch run says nonsense: {error}.") from error
    except OSError as error:
        raise NotRun(f"The scratch run cannot be followed: {error}.") from error
    finally:
        _end(process, ours)


def _variables() -> dict[str, str]:
    """What a run is told: where the data lie, how to reach an index, and no secret of ours."""
    own = {"MLORCH_DATA_DIR": str(settings.DATA_DIR), "PYTHONPATH": str(settings.BASE_DIR)}
    return settings.SCRATCH_VARIABLES | own | {"PYTHONDONTWRITEBYTECODE": "1"}


def _followed(
    process: "subprocess.Popen[bytes]", task: ScratchTask, say: Callable[[str], None], ours: set[psutil.Process]
) -> ScratchLine:
    """Read what the run says until its end; `ours` gets every process that came of it, also when it dies itself."""
    assert process.stdin
    assert process.stdout
    # One that has ended already does not take its task; how it ended is read below.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(shapes.write(task) + b"\n")
        process.stdin.flush()
    deadline, unread = time.monotonic() + task.within_s + MARGIN_S, b""
    step, told = "starting", 0.0
    while True:
        if time.monotonic() > told + RENEW_S:
            told = time.monotonic()
            say(step)
        ready, _, _ = select.select([process.stdout], [], [], LOOK_S)
        ours |= _descendants(process)
        if time.monotonic() > deadline:
            raise NotRun(f"It did not end within {task.within_s} s.")
        if not ready:
            continue
        part = os.read(process.stdout.fileno(), CHUNK_BYTES)
        *lines, unread = (unread + part).split(b"\n")
        for line in lines:
            said = shapes.read(ScratchLine, line)
            if said.end:
                return said
            step, told = said.progress, time.monotonic()
            say(step)
        if not part:
            raise NotRun(f"The scratch run ended with {process.wait(MARGIN_S)} before it said anything.")
        if len(unread) > LINE_MAX_BYTES:
            raise NotRun("The scratch run says more than it may.")


def _descendants(process: "subprocess.Popen[bytes]") -> set[psutil.Process]:
    """What came of a process and is there now: in a sandbox each leads a session of its own."""
    with contextlib.suppress(psutil.Error):
        return set(psutil.Process(process.pid).children(recursive=True))
    return set()


def _end(process: "subprocess.Popen[bytes]", ours: set[psutil.Process]) -> None:
    """Let the run clear up, which it does when its input closes, and end what is left of it."""
    ours |= _descendants(process)
    for end in (process.stdin, process.stdout):
        if end:
            with contextlib.suppress(OSError):
                end.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(MARGIN_S)
    for left in ours:  # one whose id was given to another process meanwhile is left alone
        with contextlib.suppress(psutil.Error):
            left.kill()
    process.kill()
    process.wait()
