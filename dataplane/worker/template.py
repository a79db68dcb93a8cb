"""`python -m dataplane.worker.template --control FD --events FD`: a warm process that has loaded what every version
needs, and forks workers.

Loading MLflow, pandas and scikit-learn takes seconds and 200 MB; a forked worker has them at once and shares their
pages. A process that forks must have one thread only: others would be gone in the child with their locks held. So
nothing here starts one, and before each fork it is checked.
"""

import argparse
import contextlib
import gc
import importlib
import os
import random
import signal
import socket
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from dataplane.sandbox import kernel
from dataplane.sandbox.entry import OPEN_FILES_MAX, enter
from dataplane.sandbox.launcher import announce
from dataplane.wire import shapes
from dataplane.wire.worker_start import FORK_REQUEST_MAX_BYTES, ForkAnswer, ForkRequest
from dataplane.worker import threads
from dataplane.worker.__main__ import say

PRELOADED = (
    "mlflow.pyfunc",
    "mlflow.sklearn",
    "mlflow.pyfunc.scoring_server",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.pipeline",
    "skops.io",
    "dataplane.worker.scorer",
    "dataplane.worker.native.predictors",
    "dataplane.worker.equivalence",
    "dataplane.worker.server",
)
ERROR_MAX_CHARS = 500
CHANNELS = 4  # that come with a request: talk, log, events, listener


class CannotFork(Exception):
    """The process is in no state to fork; the text says why."""


def preload() -> "list[str]":
    """Import what versions need; return the names of what is not there, which a version's environment need not have."""
    missing = []
    for name in PRELOADED:
        try:
            importlib.import_module(name)
        except Exception:  # whatever a library raises at import: a version that needs it will say so
            missing.append(name)
    with contextlib.suppress(Exception):
        # MLflow compares requirements with what is installed at every load, and builds this map for it the first time.
        importlib.import_module("mlflow.utils.requirements_utils")._init_packages_to_modules_map()
    return missing


def end_with_parent() -> None:
    """Let the kernel end this process when its agent is gone.

    Workers are not affected: a forked process does not inherit this. Those whose parent stays outside of their sandbox
    become children of this process.
    """
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)


def check_single() -> None:
    """Raise CannotFork when there is more than one thread, as the kernel sees it."""
    tasks = os.listdir("/proc/self/task")
    if len(tasks) > 1:
        names = [Path(f"/proc/self/task/{task}/comm").read_text().strip() for task in tasks]
        raise CannotFork(f"{len(tasks)} threads: {', '.join(names)}")


def fork(request: ForkRequest, channels: "list[int]", control: socket.socket) -> None:
    """Fork a worker for the request, which enters its sandbox and waits there for the agent's word. Raises CannotFork.

    In the child this never returns.
    """
    check_single()
    if request.threads > 1 and not threads.is_settable():
        raise CannotFork("the environment has no threadpoolctl to raise the number of threads")
    if os.fork():
        return
    code = 1
    try:
        control.close()
        code = begin(request, *channels)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def begin(request: ForkRequest, talk: int, log: int, events: int, listener: int) -> int:
    """Become a worker; return its exit code."""
    with socket.socket(fileno=talk) as agent:
        try:
            keep_only(log, {talk, events, listener})
            # Who makes a process for the sandbox has nothing else to do than to make it.
            enter(request.sandbox, lambda _: os._exit(0))
            settle(request)
        except OSError as error:
            refuse(agent, f"the sandbox cannot be made: {error}")
            return 1
        announce(agent)
    return worker(request, events, listener)


def keep_only(log: int, kept: "set[int]") -> None:
    """Write to the log, read nothing, and let go of every descriptor but the kept ones."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    for descriptor in range(3, OPEN_FILES_MAX):
        if descriptor not in kept:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def settle(request: ForkRequest) -> None:
    """Make the forked process what a started one would be: home, threads, signals, random numbers of its own."""
    os.environ.update(HOME=request.sandbox.home, TMPDIR=request.sandbox.home)
    tempfile.tempdir = None
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    threads.use(request.threads)


def worker(request: ForkRequest, events: int, listener: int) -> int:
    """Run a worker's own main with the request's arguments; return its exit code."""
    module = importlib.import_module(request.module)
    sys.argv = [request.module, *request.arguments, "--events", str(events), "--listener", str(listener)]
    code: int = module.main()
    return code


def reap(*_: Any) -> None:
    """Take the exit codes of workers that have ended, so that none stays a zombie."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def refuse(agent: socket.socket, why: str) -> None:
    """Tell the agent that there will be no worker."""
    with contextlib.suppress(OSError):
        agent.sendall(shapes.write(ForkAnswer(error=why[:ERROR_MAX_CHARS])) + b"\n")


def serve(control: socket.socket) -> bool:
    """Serve one request of the agent; return False when it is gone."""
    message, channels, _, _ = socket.recv_fds(control, FORK_REQUEST_MAX_BYTES, CHANNELS)
    if not message:
        return False
    try:
        fork(shapes.read(ForkRequest, message), channels, control)
    except (CannotFork, ValueError, OSError) as error:
        with socket.socket(fileno=os.dup(channels[0])) as agent:
            refuse(agent, f"{type(error).__name__}: {error}")
    finally:
        for descriptor in channels:
            os.close(descriptor)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dataplane.worker.template")
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--events", type=int, required=True)
    options = parser.parse_args()
    end_with_parent()
    missing = preload()
    # What lives now lives as long as the process: the collector of a child shall not touch, and so copy, its pages.
    gc.collect()
    gc.freeze()
    try:
        check_single()
    except CannotFork as error:
        say(options.events, "unfit", error=str(error))
        return 1
    signal.signal(signal.SIGCHLD, reap)
    with socket.socket(fileno=options.control) as control:
        say(options.events, "ready", missing=missing)
        while serve(control):
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
