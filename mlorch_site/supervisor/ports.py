"""Is a port free, and if not, who has it?"""

import errno
import socket

import psutil


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether a server could listen on `port` now."""
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


def problem_with(port: int, name: str, option: str) -> str:
    """Return the sentence that says that a port is taken and what to do, empty when it is free."""
    if is_free(port):
        return ""
    return f"Port {port} for {name} is taken by {holder_of(port)}. End it, or choose another port with {option} PORT."
