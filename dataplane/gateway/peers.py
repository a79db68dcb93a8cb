"""Peers: which processes of one gateway are alive on this machine."""

import fcntl
import os
import tempfile
from pathlib import Path


class Peers:
    """The processes of one gateway that are alive on this machine, by boot.

    Two of them overlap while one takes over from the other.

    Each holds a lock on a file with its boot as name; the kernel releases it however the process ends.
    """

    def __init__(self, folder: Path, boot: str) -> None:
        self._folder = folder
        self._boot = boot
        self._lock = -1

    def enter(self) -> None:
        """Be seen by the others from now on."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Locked before it has its name: a file that others can see and that is not locked belongs to the dead.
        self._lock, temporary = tempfile.mkstemp(prefix=".", dir=self._folder)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        os.replace(temporary, self._folder / self._boot)

    def leave(self) -> None:
        """Be seen no more."""
        if self._lock >= 0:
            (self._folder / self._boot).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = -1

    def others(self) -> list[str]:
        """The boots of the others that are alive; what the dead left is removed."""
        try:
            names = [name for name in os.listdir(self._folder) if name != self._boot and not name.startswith(".")]
        except FileNotFoundError:
            return []
        return sorted(name for name in names if self.is_alive(name))

    def is_alive(self, boot: str) -> bool:
        """Whether the process of `boot` is running."""
        path = self._folder / boot
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            path.unlink(missing_ok=True)
            return False
        finally:
            os.close(descriptor)
