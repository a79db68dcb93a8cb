"""`python -m dataplane.scratch`: one task as JSON in the first line of standard input, lines about it on standard
output.

Whoever asked keeps standard input open: when it closes, nobody waits for the answer any more, and the run ends with
everything that it started.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from dataplane.agent.sandboxes import Sandboxes
from dataplane.scratch.config import ScratchConfig, from_environment
from dataplane.scratch.installation import Installation, Unable, Uninstallable, install
from dataplane.scratch.load_generator import LoadGenerator
from dataplane.scratch.run_folder import LOADS, end_children, run_folder
from dataplane.scratch.scratch_worker import ScratchWorker, Unservable, scratch_worker
from dataplane.wire import shapes
from dataplane.wire.frames import BODY_MAX_BYTES
from dataplane.wire.scratch import BODY_MAX_CHARS, LINE_MAX_BYTES, ScratchAnswer, ScratchLine, ScratchTask

type_Say = Callable[[str], None]
ASKED_TIMES = 2
FIRST_ANSWER_WITHIN_S = 60.0  # of a load
QUIET_S = 0.5  # between two looks at whether another load is on


class Lines:
    """Standard output for the lines of the run alone: what else is printed, such as a log, goes to standard error."""

    def __init__(self) -> None:
        self._said = ""
        self._output = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def write(self, line: ScratchLine) -> None:
        self._output.write(shapes.write(line) + b"\n")

    def say(self, sentence: str) -> None:
        """Say how far the run is, and nothing twice."""
        if sentence and sentence != self._said:
            self._said = sentence
            self.write(ScratchLine(progress=shapes.cut(sentence)))


@contextlib.asynccontextmanager
async def _worker(config: ScratchConfig, task: ScratchTask, say: type_Say) -> AsyncIterator[ScratchWorker]:
    sandboxes = Sandboxes(config)
    python = await Installation(config, sandboxes, say).python_for(task)
    say("starting a worker")
    async with scratch_worker(config, sandboxes, task, python, say) as worker:
        yield worker


async def answer(config: ScratchConfig, task: ScratchTask, say: type_Say) -> dict[str, Any]:
    """Ask the body twice, of one worker."""
    answers = []
    async with _worker(config, task, say) as worker:
        for number in range(ASKED_TIMES):
            say(f"asking the input example, {number + 1} of {ASKED_TIMES}")
            header, body = await worker.ask(task.body.encode(), task.patience_ms / 1000)
            text = body[: min(BODY_MAX_BYTES, BODY_MAX_CHARS)].decode(errors="replace")
            answers.append(ScratchAnswer(header.status, text[:BODY_MAX_CHARS], len(body) > BODY_MAX_CHARS))
        worker.check()
        return {"answers": answers, "sandbox": worker.record.sandbox}


async def load(config: ScratchConfig, task: ScratchTask, say: type_Say) -> dict[str, Any]:
    """Put a load on a worker; one load at a time on a machine, or they would measure each other."""
    with open(config.root / LOADS, "w") as held:
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            say("waiting for another load test on this machine")
            await asyncio.sleep(QUIET_S)
        async with _worker(config, task, say) as worker:
            await worker.ask(task.body.encode(), FIRST_ANSWER_WITHIN_S)
            say(f"{task.rate} requests a second for {task.seconds} s")
            generator = LoadGenerator(
                worker.socket, task.body.encode(), task.rate, task.seconds, task.patience_ms / 1000
            )
            return {"load": await generator.run(worker, say), "sandbox": worker.record.sandbox}


KINDS = {"install": install, "answer": answer, "load": load}


async def run(task: ScratchTask, config: ScratchConfig, say: type_Say) -> ScratchLine:
    """Do the task; its last line."""
    try:
        with run_folder(config):
            async with asyncio.timeout(task.within_s):
                return ScratchLine(end="done", **await KINDS[task.kind](config, task, say))
    except (Uninstallable, Unservable) as error:
        return ScratchLine(end="failed", sentence=shapes.cut(str(error)))
    except Unable as error:
        return ScratchLine(end="unable", sentence=shapes.cut(str(error)))
    except TimeoutError:
        return ScratchLine(end="unable", sentence=f"It did not end within {task.within_s} s.")
    except OSError as error:
        return ScratchLine(end="unable", sentence=shapes.cut(f"This machine could not do it: {error}."))


def _watch_input(loop: asyncio.AbstractEventLoop, stop: Callable[[], Any]) -> None:
    """Stop the run when whoever asked is gone."""

    def wait() -> None:
        os.read(sys.stdin.fileno(), 1)
        with contextlib.suppress(RuntimeError):  # the run has ended by itself
            loop.call_soon_threadsafe(stop)

    threading.Thread(target=wait, daemon=True).start()


async def main() -> int:
    task = shapes.read(ScratchTask, sys.stdin.buffer.readline(LINE_MAX_BYTES))
    lines = Lines()
    running = asyncio.ensure_future(run(task, from_environment(), lines.say))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    _watch_input(loop, running.cancel)
    try:
        lines.write(await running)
    except asyncio.CancelledError:
        return 1
    finally:
        end_children()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
