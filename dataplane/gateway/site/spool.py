"""The spool: batches of windows on disk until the site has them (docs/wire.md section 4)."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import structlog

from dataplane.wire import shapes
from dataplane.wire.shapes import Malformed
from dataplane.wire.window_batch import Window, WindowBatch

log = structlog.get_logger(__name__)

BATCH_ENDING = ".json"


class Spool:
    """Batches on disk in order, bounded: beyond the bound the oldest is dropped and counted.

    `is_alive` tells whether another boot's process still runs: its batches are its own to send.
    """

    def __init__(
        self, folder: Path, boot: str, max_batches: int, is_alive: Callable[[str], bool] = lambda boot: False
    ) -> None:
        self._folder = folder
        self._boot = boot
        self._max = max_batches
        self._is_alive = is_alive
        self._sequence = 0
        self._is_failing = False
        self.dropped_windows = 0

    def add(self, windows: list[Window]) -> None:
        """Write one batch of this boot. What the disk does not take is counted as dropped."""
        try:
            self._write(windows)
        except OSError as error:
            self.dropped_windows += len(windows)
            if not self._is_failing:
                log.error("windows.not_spooled", why=str(error))
            self._is_failing = True
            return
        self._is_failing = False
        self._drop_oldest()

    def _write(self, windows: list[Window]) -> None:
        number = self._sequence + 1
        folder = self._folder / self._boot
        folder.mkdir(parents=True, exist_ok=True)
        batch = WindowBatch(self._boot, number, windows, self.dropped_windows)
        temporary = folder / f".{number}.tmp"
        temporary.write_bytes(shapes.write(batch))
        temporary.replace(folder / f"{number:012d}{BATCH_ENDING}")
        self._sequence = number

    def _drop_oldest(self) -> None:
        for path in [self._folder / place for place in self._places()[: -self._max]]:
            batch = self.read(path)
            self.dropped_windows += len(batch.windows) if batch else 0
            path.unlink(missing_ok=True)

    def __len__(self) -> int:
        """How many batches the site does not have yet."""
        return len(self._places())

    def waiting(self) -> list[Path]:
        """The batches that the site does not have yet, those of boots that have ended first."""
        return [self._folder / place for place in self._places()]

    def _places(self) -> list[str]:
        try:
            boots = [boot for boot in os.listdir(self._folder) if boot == self._boot or not self._is_alive(boot)]
            folders = sorted((boot == self._boot, (self._folder / boot).stat().st_mtime, boot) for boot in boots)
            return [f"{boot}/{name}" for _, _, boot in folders for name in self._names(boot)]
        except FileNotFoundError:
            return []  # nothing was spooled yet

    def _names(self, boot: str) -> list[str]:
        # Names, not paths: a site that is away for long leaves thousands, and requests wait meanwhile.
        return sorted(name for name in os.listdir(self._folder / boot) if name.endswith(BATCH_ENDING))

    def read(self, path: Path) -> WindowBatch | None:
        """A batch, None when it cannot be read."""
        try:
            return shapes.read(WindowBatch, path.read_bytes())
        except (OSError, Malformed):
            return None

    def done(self, path: Path) -> None:
        """Forget a batch that the site has."""
        path.unlink(missing_ok=True)
        if path.parent.name == self._boot:
            return
        with contextlib.suppress(FileNotFoundError):  # another process of the gateway sends it too and was quicker
            if not self._names(path.parent.name):
                for rest in path.parent.iterdir():
                    rest.unlink()
                path.parent.rmdir()
