"""Change windows: when rollouts may begin in an environment. Pure over the windows of a policy.

A `freeze` closes the environment while it lasts. With `release` windows the environment is open only while one of them
lasts. A window is a local time in its own zone, a length, and for a recurring one an RRULE (RFC 5545) of a few parts;
its end is a local time too, so a window from Friday 18:00 for 62 hours ends on Monday at 8 whatever the clocks do.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from dateutil.rrule import rrule, rrulestr

from registry.window_rule import rule_in_words

KINDS = ("freeze", "release")
KEYS = {"kind", "name", "zone", "starts", "minutes"}
OPTIONAL_KEYS = {"rule", "except"}
WINDOWS_MAX = 50
NAME_MAX_CHARS = 100
RULE_MAX_CHARS = 200
EXCEPTIONS_MAX = 100
MINUTES_MAX = 366 * 24 * 60
# The parts of a rule by its frequency: those with which it has occurrences, so that looking for one ends.
RULE_PARTS = {
    "DAILY": set[str](),
    "WEEKLY": {"BYDAY"},
    "MONTHLY": {"BYDAY", "BYMONTHDAY"},
    "YEARLY": {"BYMONTH", "BYDAY", "BYMONTHDAY"},
}
EVERY_RULE = {"FREQ", "INTERVAL", "UNTIL", "COUNT"}
INTERVAL_MAX = 100
MONTH_DAYS, MONTHS = range(1, 29), range(1, 13)  # the days that every month has
WEEKDAY = re.compile(r"(-?[1-5])?(MO|TU|WE|TH|FR|SA|SU)")
STARTS_YEARS = range(2020, 2101)
LOOK_AHEAD = timedelta(days=366)
LOOKS_MAX = 500
WRONG_RULE = (
    "a window's rule is an RRULE such as FREQ=WEEKLY;BYDAY=FR: DAILY, WEEKLY with BYDAY, MONTHLY with BYDAY or "
    "BYMONTHDAY, YEARLY with BYMONTH too, each with INTERVAL, UNTIL or COUNT"
)

type_Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class ChangeWindow:
    """One window of a policy. `starts` is local time in `zone`; on the local days in `exceptions` it does not begin.
    `of` names the revision that it is written in, empty where that needs no saying.
    """

    kind: str
    name: str
    zone: str
    starts: datetime
    minutes: int
    rule: str = ""
    exceptions: frozenset[date] = frozenset()
    of: str = ""

    @property
    def named(self) -> str:
        """Its name, and whose it is."""
        return f"{self.name} ({self.of})" if self.of else self.name

    @property
    def sentence(self) -> str:
        """The window as people read it."""
        what = "No rollout begins" if self.kind == "freeze" else "Rollouts may begin"
        again = f", again {rule_in_words(self.rule)}" if self.rule else ""
        missing = f", not on {', '.join(str(day) for day in sorted(self.exceptions))}" if self.exceptions else ""
        return (
            f"{self.name}: {what.lower()} from {self.starts:%A %Y-%m-%d %H:%M} for {_length(self.minutes)} "
            f"({self.zone}){again}{missing}"
        )

    def spans(self, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        """When it lasts, as far as that touches `since` to `until`, in order of beginning; all in UTC."""
        zone, length = ZoneInfo(self.zone), timedelta(minutes=self.minutes)
        first = since.astimezone(zone).replace(tzinfo=None) - length - timedelta(days=1)
        last = until.astimezone(zone).replace(tzinfo=None) + timedelta(days=1)
        for begins in self._occurrences(first, last):
            span = (_in_utc(begins, zone), _in_utc(begins + length, zone))
            if begins.date() not in self.exceptions and span[0] <= until and span[1] > since:
                yield span

    def _occurrences(self, first: datetime, last: datetime) -> Iterator[datetime]:
        if not self.rule:
            yield from (self.starts,) if first <= self.starts <= last else ()
            return
        yield from rrulestr(self.rule, dtstart=self.starts).between(first, last, inc=True)


def _length(minutes: int) -> str:
    hours, rest = divmod(minutes, 60)
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{rest} min" if rest else "") if part)


def _in_utc(local: datetime, zone: ZoneInfo) -> datetime:
    return local.replace(tzinfo=zone).astimezone(UTC)


def read_windows(rows: "type_Rows", of: str = "") -> list[ChangeWindow]:
    """The windows of a policy, `of` a revision; what `windows_problem` finds no fault with can be read."""
    return [
        ChangeWindow(
            kind=row["kind"],
            name=row["name"],
            zone=row["zone"],
            starts=datetime.fromisoformat(row["starts"]),
            minutes=row["minutes"],
            rule=row.get("rule", ""),
            exceptions=frozenset(date.fromisoformat(day) for day in row.get("except", [])),
            of=of,
        )
        for row in rows
    ]


@dataclass(frozen=True)
class Closure:
    """Why no rollout may begin, and from when on one may; None: not within `LOOK_AHEAD`. `by` is what closes it."""

    reason: str
    opens_at: datetime | None
    by: str = ""

    @property
    def sentence(self) -> str:
        """What whoever wants to begin is told."""
        if self.opens_at is None:
            return f"{self.reason}. It does not open within a year."
        return f"{self.reason}. It opens at {self.opens_at:%Y-%m-%d %H:%M} UTC."

    @property
    def held(self) -> str:
        """What is said of a rollout that runs and is held."""
        until = f"until {self.opens_at:%Y-%m-%d %H:%M} UTC" if self.opens_at else "for longer than a year"
        return f"Held: {self.by} {until}."


def closure_at(windows: Sequence[ChangeWindow], now: datetime) -> Closure | None:
    """Why the environment is closed at `now`; None while it is open."""
    reason, by, changes_at = _closed(windows, now)
    if not reason:
        return None
    opens_at, horizon = changes_at, now + LOOK_AHEAD
    for _ in range(LOOKS_MAX):
        if opens_at is None or opens_at > horizon:
            return Closure(reason, None, by)
        still, _, later = _closed(windows, opens_at)
        if not still:
            return Closure(reason, opens_at, by)
        opens_at = later
    return Closure(reason, None, by)


def _closed(windows: Sequence[ChangeWindow], at: datetime) -> tuple[str, str, datetime | None]:
    """Why it is closed at a moment, and by what, both empty when it is not; and until when at least."""
    lasting = [(window.named, end) for window in windows if window.kind == "freeze" for _, end in window.spans(at, at)]
    if lasting:
        names = " and ".join(dict.fromkeys(name for name, _ in lasting))
        return f"Frozen: {names}", f"freeze {names}", max(end for _, end in lasting)
    releases = [window for window in windows if window.kind == "release"]
    if not releases or any(True for window in releases for _ in window.spans(at, at)):
        return "", "", None
    begins = [span[0] for window in releases for span in window.spans(at, at + LOOK_AHEAD) if span[0] > at]
    names = ", ".join(window.name for window in releases)
    whose = f" of {releases[0].of}" if releases[0].of else ""
    outside = f"outside of the release windows{whose} ({names})"
    return f"O{outside[1:]}", outside, min(begins, default=None)


def windows_problem(rows: Any) -> str:
    """What is wrong with the windows as somebody wrote them, empty when nothing is."""
    if not isinstance(rows, list) or len(rows) > WINDOWS_MAX or not all(isinstance(row, dict) for row in rows):
        return f"a list of at most {WINDOWS_MAX} windows"
    return next((problem for row in rows if (problem := window_problem(row)[1])), "")


def window_problem(row: dict[str, Any]) -> tuple[str, str]:
    """What is wrong with one window, as the key that it is at and a sentence; both empty when nothing is."""
    if not set(row) >= KEYS or set(row) - KEYS - OPTIONAL_KEYS:
        keys, optional = ", ".join(sorted(KEYS)), " and ".join(sorted(OPTIONAL_KEYS))
        return "kind", f"a window has the keys {keys}, and may have {optional}"
    if row["kind"] not in KINDS:
        return "kind", f"a window's kind is one of {', '.join(KINDS)}"
    if not isinstance(row["name"], str) or not 0 < len(row["name"].strip()) <= NAME_MAX_CHARS:
        return "name", f"a window's name has 1 to {NAME_MAX_CHARS} characters"
    if not isinstance(row["zone"], str) or row["zone"] not in available_timezones():
        return "zone", f"{row['zone']!r} is not a time zone; use a name such as Europe/Berlin"
    if type(row["minutes"]) is not int or not 1 <= row["minutes"] <= MINUTES_MAX:
        return "minutes", f"a window's minutes are a whole number from 1 to {MINUTES_MAX}"
    parts = (
        ("starts", _starts_problem(row["starts"])),
        ("except", _exceptions_problem(row.get("except", []))),
    )
    wrong = next(((key, problem) for key, problem in parts if problem), None)
    return wrong or ("rule" if (problem := _rule_problem(row)) else "", problem)


def _starts_problem(text: Any) -> str:
    try:
        starts = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        starts = None
    if starts is None or starts.tzinfo is not None or starts.year not in STARTS_YEARS:
        return "a window starts at a local time such as 2026-12-24T18:00, without an offset"
    return ""


def _exceptions_problem(days: Any) -> str:
    wrong = f"the exceptions of a window are at most {EXCEPTIONS_MAX} days such as 2026-12-25"
    if not isinstance(days, list) or len(days) > EXCEPTIONS_MAX:
        return wrong
    try:
        for day in days:
            date.fromisoformat(day)
    except (TypeError, ValueError):
        return wrong
    return ""


def _rule_problem(row: dict[str, Any]) -> str:
    rule = row.get("rule", "")
    if rule == "":
        return ""
    if not isinstance(rule, str) or len(rule) > RULE_MAX_CHARS:
        return WRONG_RULE
    parts = {name: value.split(",") for name, _, value in (part.partition("=") for part in rule.split(";"))}
    allowed = RULE_PARTS.get(",".join(parts.get("FREQ", [])))
    if allowed is None or set(parts) - allowed - EVERY_RULE or {"BYDAY", "BYMONTHDAY"} <= set(parts):
        return WRONG_RULE
    if not _are_numbers(parts.get("BYMONTHDAY", []), MONTH_DAYS):
        return "the days of a month in a rule are from 1 to 28, which every month has"
    if not _are_numbers(parts.get("INTERVAL", []), range(1, INTERVAL_MAX + 1)):
        return f"the interval of a rule is a whole number from 1 to {INTERVAL_MAX}"
    is_right = _are_numbers(parts.get("BYMONTH", []), MONTHS) and all(map(WEEKDAY.fullmatch, parts.get("BYDAY", [])))
    try:
        found = rrulestr(rule, dtstart=datetime.fromisoformat(row["starts"]))
    except (ValueError, TypeError, KeyError):
        return WRONG_RULE
    return "" if is_right and isinstance(found, rrule) else WRONG_RULE


def _are_numbers(texts: list[str], allowed: range) -> bool:
    return all(text.isdecimal() and text.isascii() and int(text[:4]) in allowed for text in texts)
