"""`python -m dataplane.worker.template --socket PATH`: a warm process that has loaded what every version needs, and
forks workers.

Loading MLflow, pandas and scikit-learn takes seconds and 200 MB; a forked worker has them at once and shares their
pages. A process that forks must have one thread only: others would be gone in the child with their locks held. So
nothing here starts one, and before each fork it is checked.
"""

import argparse
import contextlib
import ctypes
import gc
import importlib
import json
import os
import random
import resource
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

from dataplane.wire import shapes
from dataplane.wire.worker_start import FORK_REQUEST_MAX_BYTES, GO, ForkAnswer, ForkRequest
from dataplane.worker import threads

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
OPEN_FILES_MAX = 1024
ASK_TIMEOUT_S = 5.0
PR_SET_PDEATHSIG = 1


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

    Workers are not affected: a forked process does not inherit this.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def check_single() -> None:
    """Raise CannotFork when there is more than one thread, as the kernel sees it."""
    tasks = os.listdir("/proc/self/task")
    if len(tasks) > 1:
        names = [Path(f"/proc/self/task/{task}/comm").read_text().strip() for task in tasks]
        raise CannotFork(f"{len(tasks)} threads: {', '.join(names)}")


def fork(request: ForkRequest, peer: socket.socket, listener: socket.socket) -> int:
    """Fork a worker for the request; return its process id. In the child this never returns. Raises CannotFork.

    The child begins when the agent has written it down and says so; without a word it ends, so that no worker runs
    unknown.
    """
    check_single()
    if request.threads > 1 and not threads.is_settable():
        raise CannotFork("the environment has no threadpoolctl to raise the number of threads")
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        listener.close()
        if peer.recv(len(GO)) != GO:
            os._exit(0)
        peer.close()
        settle(request)
        code = worker(request)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def settle(request: ForkRequest) -> None:
    """Make the forked process what a started one would be: session, log, home, limits, signals, random numbers of its
    own.
    """
    os.setsid()
    log = os.open(request.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    os.closerange(3, OPEN_FILES_MAX)
    os.environ.update(HOME=request.home, TMPDIR=request.home)
    os.chdir(request.home)
    threads.use(request.threads)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES_MAX, OPEN_FILES_MAX))
    resource.setrlimit(resource.RLIMIT_DATA, (request.data_bytes, request.data_bytes))
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()


def worker(request: ForkRequest) -> int:
    """Run a worker's own main with the request's arguments; return its exit code."""
    module = importlib.import_module(request.module)
    sys.argv = [request.module, *request.arguments]
    code: int = module.main()
    return code


def reap(*_: Any) -> None:
    """Take the exit codes of workers that have ended, so that none stays a zombie."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def read_request(peer: socket.socket) -> ForkRequest:
    """The request: one line of JSON. Raises ValueError when it is none."""
    content = b""
    while not content.endswith(b"\n"):
        chunk = peer.recv(FORK_REQUEST_MAX_BYTES)
        content += chunk
        if not chunk or len(content) > FORK_REQUEST_MAX_BYTES:
            raise ValueError("no whole line")
    return shapes.read(ForkRequest, content)


def answer(peer: socket.socket, listener: socket.socket) -> None:
    """Serve one request of the agent."""
    peer.settimeout(ASK_TIMEOUT_S)
    try:
        forked = ForkAnswer(pid=fork(read_request(peer), peer, listener))
    except (CannotFork, ValueError, OSError) as error:
        forked = ForkAnswer(error=f"{type(error).__name__}: {error}")
    with contextlib.suppress(OSError):
        peer.sendall(shapes.write(forked) + b"\n")


def listen(path: Path) -> socket.socket:
    """A listening socket that only this user can reach."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old_mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(old_mask)
    listener.listen(16)
    return listener


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dataplane.worker.template")
    parser.add_argument("--socket", type=Path, required=True)
    options = parser.parse_args()
    end_with_parent()
    missing = preload()
    # What lives now lives as long as the process: the collector of a child shall not touch, and so copy, its pages.
    gc.collect()
    gc.freeze()
    try:
        check_single()
    except CannotFork as error:
        print(json.dumps({"event": "unfit", "error": str(error)}), flush=True)
        return 1
    signal.signal(signal.SIGCHLD, reap)
    with listen(options.socket) as listener:
        print(json.dumps({"event": "ready", "missing": missing}), flush=True)
        while True:
            peer, _ = listener.accept()
            with peer:
                answer(peer, listener)


if __name__ == "__main__":
    sys.exit(main())
