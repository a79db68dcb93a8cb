"""On which days of a month rollouts may begin, by the windows that count. Pure."""

import calendar
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from registry.change_windows import ChangeWindow

MIDNIGHT = "24:00"
OPEN, PARTLY, CLOSED = "open", "partly", "closed"
YEARS = range(2020, 2101)

type_Spans = list[tuple[datetime, datetime]]


@dataclass(frozen=True)
class CalendarDay:
    """A day of the month: whether rollouts may begin all day, some of it or not at all, and when, in words."""

    day: date
    state: str
    words: str


@dataclass(frozen=True)
class MonthCalendar:
    """A month in weeks from Monday on; None where the week belongs to another month. `others` are the revisions besides
    the one it is the calendar of whose freezes are in it.
    """

    first: date
    weeks: list[list[CalendarDay | None]]
    zone: str
    others: list[str]

    @property
    def title(self) -> str:
        return f"{self.first:%B %Y}"

    @property
    def before(self) -> str:
        return f"{self.first - timedelta(days=1):%Y-%m}"

    @property
    def after(self) -> str:
        return f"{self.first + timedelta(days=31):%Y-%m}"


def month_of(text: str, today: date) -> date:
    """The first day of a month such as `2026-12`; of the present one where the text is none."""
    try:
        first = date.fromisoformat(f"{text}-01")
    except ValueError:
        first = today
    return first.replace(day=1) if first.year in YEARS else today.replace(day=1)


def month_calendar(windows: Sequence[ChangeWindow], first: date, zone: tzinfo) -> MonthCalendar:
    """The month that begins on `first`, in the days of `zone`."""
    weeks = calendar.Calendar().monthdatescalendar(first.year, first.month)
    return MonthCalendar(
        first,
        [[_day(windows, day, zone) if day.month == first.month else None for day in week] for week in weeks],
        str(zone),
        list(dict.fromkeys(window.of for window in windows if window.of)),
    )


def _day(windows: Sequence[ChangeWindow], day: date, zone: tzinfo) -> CalendarDay:
    begins = datetime.combine(day, time.min, zone).astimezone(UTC)
    ends = datetime.combine(day + timedelta(days=1), time.min, zone).astimezone(UTC)
    whole = [(begins, ends)]
    releases = [window for window in windows if window.kind == "release"]
    open_spans = _joined(_within(releases, begins, ends)) if releases else whole
    for closed in _joined(_within([window for window in windows if window.kind == "freeze"], begins, ends)):
        open_spans = [rest for span in open_spans for rest in _without(span, closed)]
    if open_spans == whole:
        return CalendarDay(day, OPEN, "open")
    if not open_spans:
        return CalendarDay(day, CLOSED, "closed")
    times = ", ".join(
        f"{_time(start, zone)}–{_time(end, zone) if end < ends else MIDNIGHT}" for start, end in open_spans
    )
    return CalendarDay(day, PARTLY, f"open {times}")


def _within(windows: Iterable[ChangeWindow], begins: datetime, ends: datetime) -> type_Spans:
    spans = [span for window in windows for span in window.spans(begins, ends)]
    return [(max(start, begins), min(end, ends)) for start, end in spans if start < ends and end > begins]


def _joined(spans: type_Spans) -> type_Spans:
    found: type_Spans = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def _without(span: tuple[datetime, datetime], closed: tuple[datetime, datetime]) -> type_Spans:
    parts = [(span[0], min(span[1], closed[0])), (max(span[0], closed[1]), span[1])]
    return [part for part in parts if part[0] < part[1]]


def _time(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%H:%M}"
