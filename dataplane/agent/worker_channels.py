"""What joins the agent to a process that it starts: no other process has any of it, and none of it has a name.

The talk says that the process is there and when it may begin; events say how far it is. What a model prints goes to
the log, and says nothing to the agent.
"""

import contextlib
import os
import socket
import stat
import struct
import threading
from pathlib import Path
from typing import Self

from dataplane.wire import shapes
from dataplane.wire.shapes import Malformed
from dataplane.wire.worker_start import GO, ForkAnswer, StartEvent

ANSWER_MAX_BYTES = 16 * 1024
EVENTS_MAX_BYTES = 64 * 1024  # of a read, and of one line
FOLDER_MODE, SOCKET_MODE = 0o700, 0o600
LOG_MAX_BYTES = 5 * 1024 * 1024
_CREDENTIALS = struct.Struct("3i")


class NotStarted(Exception):
    """The process is not there; the text says why."""


class NoAnswer(NotStarted):
    """Whoever should have started it does not answer."""


def open_log(path: Path) -> int:
    """Open a log for appending, starting over when it has grown past its bound."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_MAX_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def make_folder(sockets: Path, group: int) -> None:
    """Make the folder of sockets: ours alone, or with a group passed through by gateways that are somebody else.

    Raises PermissionError when it is there and somebody else's: it may lie where everybody can make one.
    """
    sockets.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    seen = sockets.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid():
        raise PermissionError(f"{sockets} belongs to somebody else; remove it")
    if group:
        os.chown(sockets, -1, group, follow_symlinks=False)
        sockets.chmod(FOLDER_MODE | stat.S_IXGRP)


def bound_socket(path: Path, group: int = 0) -> socket.socket:
    """A unix socket with a name that only this user can reach, and a group where one is named. Nobody listens yet: the
    worker does when it is ready.
    """
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bound.bind(str(path))
    if group:
        os.chown(path, -1, group)
    os.chmod(path, SOCKET_MODE | (stat.S_IRGRP | stat.S_IWGRP if group else 0))
    return bound


class WorkerChannels:
    """Our ends and theirs. Without `address` there is no socket to answer on: a template has none."""

    def __init__(self, log: Path, address: Path | None = None, group: int = 0) -> None:
        self._log = open_log(log)
        self.log_begins = os.fstat(self._log).st_size
        self._events, self._events_end = os.pipe()
        os.set_blocking(self._events, False)
        self._talk, self._talk_end = socket.socketpair()
        self._talk.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._listener = bound_socket(address, group) if address else None
        self._meeting = threading.Lock()
        self._unread = b""
        self._has_events = True

    @property
    def theirs(self) -> list[int]:
        """The descriptors of the other side: talk, log, events, and the socket where there is one."""
        listener = [self._listener.fileno()] if self._listener else []
        return [self._talk_end.fileno(), self._log, self._events_end, *listener]

    def give(self) -> None:
        """Close the other side's ends, when it has them."""
        self._talk_end.close()
        if self._listener:
            self._listener.close()
            self._listener = None
        for descriptor in (self._log, self._events_end):
            if descriptor >= 0:
                os.close(descriptor)
        self._log = self._events_end = -1

    def meet(self, within_s: float) -> int:
        """The id of the process that has come, as the kernel tells it. Blocks. Raises NotStarted."""
        try:
            with self._meeting:
                self._talk.settimeout(within_s)
                said, told, _, _ = self._talk.recvmsg(ANSWER_MAX_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size))
            answer = shapes.read(ForkAnswer, said)
        except (OSError, Malformed) as error:
            raise NoAnswer(f"no answer: {type(error).__name__} {error}") from error
        if answer.error:
            raise NotStarted(shapes.cut(answer.error))
        pid: int = next(_CREDENTIALS.unpack(data)[0] for _, kind, data in told if kind == socket.SCM_CREDENTIALS)
        return pid

    def go(self) -> None:
        """Let the process begin. Raises NotStarted when it is gone."""
        try:
            self._talk.sendall(GO)
        except OSError as error:
            raise NotStarted(f"it ended: {error}") from error

    def events(self) -> list[StartEvent]:
        """What was said since the last time; what is no event is passed over."""
        if not self._has_events:
            return []
        with contextlib.suppress(BlockingIOError):
            self._unread += os.read(self._events, EVENTS_MAX_BYTES)
        *lines, rest = self._unread.split(b"\n")
        self._unread = rest if len(rest) <= EVENTS_MAX_BYTES else b""
        found = []
        for line in lines:
            with contextlib.suppress(Malformed):
                found.append(shapes.read(StartEvent, line))
        return found

    def close(self) -> None:
        """Close everything that is still ours; a process that waits for its word ends."""
        self.give()
        with contextlib.suppress(OSError):
            self._talk.shutdown(socket.SHUT_RDWR)
        with self._meeting:  # which has ended by now
            self._talk.close()
        if self._has_events:
            os.close(self._events)
        self._has_events = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
