"""What windows that are being written would mean: when the next ones begin and end, each in its own zone. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

from registry.change_windows import LOOK_AHEAD, ChangeWindow

SHOWN = 5


@dataclass(frozen=True)
class Occurrence:
    """One time that a window lasts."""

    window: ChangeWindow
    begins: datetime
    ends: datetime

    @property
    def sentence(self) -> str:
        zone = ZoneInfo(self.window.zone)
        begins, ends = (f"{moment.astimezone(zone):%a %d %b %Y %H:%M}" for moment in (self.begins, self.ends))
        what = "Frozen" if self.window.kind == "freeze" else "Open"
        return f"{what} {begins} – {ends} {self.window.zone}: {self.window.named}"


def next_occurrences(windows: Iterable[ChangeWindow], now: datetime) -> list[Occurrence]:
    """The next times that windows last, those that last now first; none that begins later than in a year."""
    found = [
        Occurrence(window, begins, ends)
        for window in windows
        for begins, ends in islice(window.spans(now, now + LOOK_AHEAD), SHOWN)
    ]
    return sorted(found, key=lambda one: (one.begins, one.ends, one.window.name))[:SHOWN]
