"""One log stream for all processes, each line with the process's name in front, and one bounded file per process."""

import contextlib
import logging
import logging.handlers
import sys
from pathlib import Path

from dataplane.wire.log_lines import shown

FILE_MAX_BYTES = 10 * 1024 * 1024
FILES_KEPT = 2
COLOURS = (36, 32, 33, 35, 34, 96, 92, 93)
NAME_WIDTH = 8


class LogBook:
    """Writes lines to standard output and to `<folder>/<name>.log`."""

    def __init__(self, folder: Path, *, colour: bool | None = None, file_max_bytes: int = FILE_MAX_BYTES) -> None:
        self._folder = folder
        self._colour = sys.stdout.isatty() if colour is None else colour
        self._file_max_bytes = file_max_bytes
        self._files: dict[str, logging.Handler] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def line(self, name: str, text: str, *, keep: bool = True) -> None:
        """Write one line of the process `name`; with `keep=False` to standard output only.

        Colours that a process gives its line are escaped like everything else that would act.
        """
        text = shown(text)
        if keep:
            self._keep(name, text)
        label = f"{name:<{NAME_WIDTH}}"
        if self._colour:
            label = f"\x1b[{COLOURS[sum(name.encode()) % len(COLOURS)]}m{label}\x1b[0m"
        # Whoever read the stream may have gone; the files go on.
        with contextlib.suppress(BrokenPipeError):
            print(f"{label} | {text}", flush=True)

    def _keep(self, name: str, text: str) -> None:
        if name not in self._files:
            path = self._folder / f"{name}.log"
            handler = logging.handlers.RotatingFileHandler(
                path, maxBytes=self._file_max_bytes, backupCount=FILES_KEPT, encoding="utf-8", errors="replace"
            )
            self._files[name] = handler
        self._files[name].emit(logging.LogRecord(name, logging.INFO, "", 0, text, None, None))
