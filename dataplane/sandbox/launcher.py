"""`python -m dataplane.sandbox.launcher SPEC TALK COMMAND…`: run a program in a sandbox.

TALK is the descriptor of a socket on which the program inside is announced and waits for the word to begin, -1 for
none. The process that stays outside ends as the program ended.
"""

import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

from dataplane.sandbox.entry import OPEN_FILES_MAX, enter
from dataplane.wire import shapes
from dataplane.wire.sandbox import SandboxSpec
from dataplane.wire.worker_start import GO, ForkAnswer


def linger(inside: int) -> None:
    """Wait for the program and end as it did. Signals are for it; this process must be there to hear of its end."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.closerange(0, OPEN_FILES_MAX)
    _, status = os.waitpid(inside, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def link_code(spec: SandboxSpec) -> None:
    """Let Python find our code where it may not list the folder that the code lies in: by links in the home, to the
    data plane and to what else of that folder may be read.
    """
    folder, root = Path(spec.home) / "code", Path(__file__).parents[2]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for package in {root / "dataplane", *(path for path in map(Path, spec.readable) if path.parent == root)}:
        with contextlib.suppress(FileExistsError):
            (folder / package.name).symlink_to(package)
    os.environ["PYTHONPATH"] = str(folder)


def announce(talk: socket.socket) -> None:
    """Say that this process is inside, and wait until it is written down: the kernel tells its id to the agent.

    Without a word it ends, so that no process runs unknown.
    """
    with talk:
        talk.sendall(shapes.write(ForkAnswer()) + b"\n")
        if talk.recv(len(GO)) != GO:
            os._exit(0)


def main() -> int:
    spec = shapes.read(SandboxSpec, sys.argv[1].encode())
    talk = socket.socket(fileno=int(sys.argv[2])) if int(sys.argv[2]) >= 0 else None
    try:
        if spec.level == "partly":
            link_code(spec)
        enter(spec, linger)
    except OSError as error:
        if talk:
            talk.sendall(shapes.write(ForkAnswer(error=f"the sandbox cannot be made: {error}")) + b"\n")
        print(f"the sandbox cannot be made: {error}", file=sys.stderr)
        return 1
    if talk:
        announce(talk)
    os.execv(sys.argv[3], sys.argv[3:])  # noqa: S606 - the agent's own command, without a shell
    return 1


if __name__ == "__main__":
    sys.exit(main())
