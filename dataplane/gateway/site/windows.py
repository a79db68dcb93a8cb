"""One-second windows per arm, and their spool on disk until the site has them (docs/wire.md section 4)."""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from dataplane.wire.histogram import Histogram

log = structlog.get_logger(__name__)

BATCH_ENDING = ".json"
OUTCOMES = ("ok", "client_errors", "server_errors", "timeouts")
COMPARISON = ("compared", "agreed", "difference_sum", "difference_max")  # of shadow answers with the clients' own


class WindowKey(NamedTuple):
    """What a window is about."""

    environment: str
    endpoint: str
    arm: str
    version: str
    release: str


class OpenWindow:
    """Counts of one arm in one second."""

    __slots__ = ("agreed", "compared", "counts", "difference_max", "difference_sum", "drawn", "latency", "rejected")

    def __init__(self) -> None:
        self.counts = dict.fromkeys(OUTCOMES, 0)
        self.rejected = 0
        self.drawn = 0
        self.latency = Histogram()
        self.compared = self.agreed = 0
        self.difference_sum = self.difference_max = 0.0

    def row(self, key: WindowKey, start: int) -> dict[str, Any]:
        """Return the window as it is pushed."""
        requests = sum(self.counts.values())
        fields = {"start": start, "seconds": 1, "requests": requests, "rejected": self.rejected, "drawn": self.drawn}
        row = {**key._asdict(), **fields, **self.counts, "latency": self.latency.to_dict()}
        return row | {name: getattr(self, name) for name in COMPARISON} if self.compared else row


class Windows:
    """The windows that are still open or not yet taken. `clock` gives Unix time in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._open: dict[tuple[int, WindowKey], OpenWindow] = {}

    def _window(self, key: WindowKey) -> OpenWindow:
        place = (int(self._clock()), key)
        window = self._open.get(place)
        if window is None:
            window = self._open[place] = OpenWindow()
        return window

    def record(self, key: WindowKey, outcome: str, latency_ms: float, drawn: bool) -> None:
        """Count one answered request; `outcome` is one of `OUTCOMES`."""
        window = self._window(key)
        window.counts[outcome] += 1
        window.drawn += drawn
        window.latency.add(latency_ms)

    def compare(self, key: WindowKey, is_agreed: bool, difference_sum: float, difference_max: float) -> None:
        """Count one answer of a shadow arm that was compared with the client's, in the second in which that was done."""
        window = self._window(key)
        window.compared += 1
        window.agreed += is_agreed
        window.difference_sum += difference_sum
        window.difference_max = max(window.difference_max, difference_max)

    def reject(self, key: WindowKey) -> None:
        """Count one request that was turned away before any worker was asked."""
        self._window(key).rejected += 1

    def take(self, *, everything: bool = False) -> list[dict[str, Any]]:
        """Return and forget the windows of past seconds; with `everything` also the open one."""
        now = int(self._clock())
        done = [place for place in self._open if everything or place[0] < now]
        return [self._open.pop(place).row(place[1], place[0]) for place in sorted(done)]


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

    def add(self, windows: list[dict[str, Any]]) -> None:
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

    def _write(self, windows: list[dict[str, Any]]) -> None:
        number = self._sequence + 1
        folder = self._folder / self._boot
        folder.mkdir(parents=True, exist_ok=True)
        batch = {"boot": self._boot, "sequence": number, "windows": windows, "dropped_windows": self.dropped_windows}
        temporary = folder / f".{number}.tmp"
        temporary.write_text(json.dumps(batch, separators=(",", ":")))
        temporary.replace(folder / f"{number:012d}{BATCH_ENDING}")
        self._sequence = number

    def _drop_oldest(self) -> None:
        for path in [self._folder / place for place in self._places()[: -self._max]]:
            self.dropped_windows += len(self.read(path).get("windows", []))
            path.unlink(missing_ok=True)

    def __len__(self) -> int:
        """How many batches the site does not have yet."""
        return len(self._places())

    def waiting(self) -> list[Path]:
        """Return the batches that the site does not have yet, those of boots that have ended first."""
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

    def read(self, path: Path) -> dict[str, Any]:
        """Return a batch; an unreadable one gives an empty dict."""
        try:
            batch: dict[str, Any] = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return {}
        return batch

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
