"""Is a port free, and if not, who has it? And listening sockets that outlive the processes that accept from them."""

import errno
import os
import socket

import psutil

SOCKETS_MAX = 8


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def holder_of(port: int) -> str:
    """Return "name (process 123)" of who listens on `port`, as far as this user may know."""
    try:
        for connection in psutil.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        pass
    return "another process"


class KeptSockets:
    """The listening sockets of a process that is replaced without losing a connection: its successor is started with
    them.

    A process is started with the descriptor of a channel in the variable `ready_name`; on it, it hands its listening
    sockets over once it answers. In the variable `listen_name` it is given those that are kept, if there are some.
    `is_shared` tells that other processes listen on the same ports with sockets of their own.
    """

    def __init__(self, listen_name: str, ready_name: str, *, is_shared: bool) -> None:
        self._listen_name = listen_name
        self._ready_name = ready_name
        self._kept: list[int] = []
        self.is_shared = is_shared

    def given(self, channel: socket.socket) -> tuple[dict[str, str], list[int]]:
        """The variables and the descriptors that a process is started with."""
        variables = {self._ready_name: str(channel.fileno())}
        if self._kept:
            variables[self._listen_name] = ",".join(map(str, self._kept))
        return variables, [channel.fileno(), *self._kept]

    def take(self, channel: socket.socket) -> bool:
        """Whether the process has said that it answers; its listening sockets are kept from then on.

        `channel` is our end and never blocks.
        """
        try:
            said, descriptors, _, _ = socket.recv_fds(channel, 1, SOCKETS_MAX, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return False
        if descriptors:
            self.let_go()
            self._kept = list(descriptors)
        return bool(said)

    def let_go(self) -> None:
        """Keep no sockets: what waits in them is refused, and what comes goes to other processes or nowhere."""
        for descriptor in self._kept:
            os.close(descriptor)
        self._kept = []


def problem_with(port: int, name: str, option: str) -> str:
    """The sentence that says that a port is taken and what to do, empty when it is free."""
    if is_free(port):
        return ""
    return f"Port {port} for {name} is taken by {holder_of(port)}. End it, or choose another port with {option} PORT."
