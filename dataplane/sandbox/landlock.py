"""Landlock: which files a process may reach, whom it may signal, which TCP ports it may connect to. Needs no rights."""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

from dataplane.sandbox import kernel

VERSION_QUERY = 1
RULE_PATH, RULE_PORT = 1, 2
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
BIND_TCP, CONNECT_TCP = 1 << 0, 1 << 1
SCOPED = 0b11  # abstract unix sockets and signals
READ = EXECUTE | READ_FILE | READ_DIR
FILE_ONLY = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
# The first version of Landlock that knows each of these.
SINCE_NETWORK, SINCE_SCOPES = 4, 6
_RIGHTS_OF_VERSION = {1: 13, 2: 14, 3: 15, 4: 15}
_RIGHTS_NOW = 16


def version() -> int:
    """The version of Landlock that this kernel speaks, 0 for none."""
    try:
        return kernel.call("landlock_create_ruleset", None, ctypes.c_size_t(0), ctypes.c_uint(VERSION_QUERY))
    except OSError:
        return 0


class Ruleset:
    """What is allowed; everything else is refused once it is enforced.

    With `ports` TCP connections to these ports are allowed, to others not, and no port can be listened on by choice;
    None leaves the network alone.
    """

    def __init__(self, ports: Iterable[int] | None) -> None:
        self._version = version()
        self._all = (1 << _RIGHTS_OF_VERSION.get(self._version, _RIGHTS_NOW)) - 1
        has_ports = ports is not None and self._version >= SINCE_NETWORK
        scoped = SCOPED if self._version >= SINCE_SCOPES else 0
        attributes = struct.pack("QQQ", self._all, BIND_TCP | CONNECT_TCP if has_ports else 0, scoped)
        size = 24 if self._version >= SINCE_SCOPES else 16 if self._version >= SINCE_NETWORK else 8
        arguments = (attributes, ctypes.c_size_t(size), ctypes.c_uint(0))
        self._descriptor = kernel.call("landlock_create_ruleset", *arguments)
        for port in ports or () if has_ports else ():
            self._add(RULE_PORT, struct.pack("QQ", CONNECT_TCP, port))

    def _add(self, kind: int, rule: bytes) -> None:
        kernel.call("landlock_add_rule", self._descriptor, ctypes.c_int(kind), rule, ctypes.c_uint(0))

    def allow(self, path: str, rights: int | None = None) -> None:
        """Allow rights on a path and everything beneath it: all of them without `rights`. What is not there is passed
        over.
        """
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            allowed = self._all if rights is None else rights & self._all
            if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                allowed &= FILE_ONLY
            self._add(RULE_PATH, struct.pack("=Qi", allowed, descriptor))
        finally:
            os.close(descriptor)

    def enforce(self) -> None:
        """Refuse everything else to this thread and all that come of it. There must be no other one; privileges cannot
        be gained any more.
        """
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.call("landlock_restrict_self", self._descriptor, ctypes.c_uint(0))
        os.close(self._descriptor)
