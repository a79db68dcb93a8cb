"""`python reachable.py COMMAND …`: run a command where anybody may pass to this machine's Python, in a mount namespace.

A developer's Python often lies in a home that is closed to others; what is tested here needs one that is not.
"""

import os
import stat
import sys
from pathlib import Path

from dataplane.sandbox import kernel


def closed_folder(path: Path) -> Path | None:
    """The outermost folder on the way to a path that others may not enter."""
    closed = [folder for folder in reversed(path.parents) if not folder.stat().st_mode & stat.S_IXOTH]
    return closed[0] if closed else None


def open_up(python: Path) -> None:
    """Put an open folder in the place of a closed one, with what Python needs of it. For root only."""
    closed = closed_folder(python)
    if closed is None:
        return
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    part = closed / python.relative_to(closed).parts[0]
    held = os.open(part, os.O_PATH)
    kernel.mount("tmpfs", str(closed), "tmpfs", 0, "mode=755")
    part.mkdir()
    kernel.mount(f"/proc/self/fd/{held}", str(part), "", kernel.MS_BIND | kernel.MS_REC)
    open_up(python)


if __name__ == "__main__":
    open_up(Path(sys.executable).resolve())
    os.execvp(sys.argv[1], sys.argv[1:])
