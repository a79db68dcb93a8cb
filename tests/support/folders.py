"""Temporary folders in which unix sockets fit: their paths have at most 107 bytes."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOM_BYTES = 45


@contextmanager
def short_folder() -> Iterator[Path]:
    """Give a folder with a short path, gone afterwards: in the machine's temporary folder unless that is deep
    itself.
    """
    inside = tempfile.gettempdir()
    with tempfile.TemporaryDirectory(dir=inside if len(os.fsencode(inside)) <= ROOM_BYTES else "/tmp") as folder:
        yield Path(folder)
