"""A recurrence rule (RFC 5545) as people say it. Pure."""

from collections.abc import Callable
from datetime import datetime

DAYS = dict(
    zip(
        ("MO", "TU", "WE", "TH", "FR", "SA", "SU"),
        ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
        strict=True,
    )
)
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
UNITS = {"DAILY": "day", "WEEKLY": "week", "MONTHLY": "month", "YEARLY": "year"}
NTH = {"1": "first", "2": "second", "3": "third", "4": "fourth", "5": "fifth", "-1": "last"}
LAST = {"-2": "second to last", "-3": "third to last", "-4": "fourth to last", "-5": "fifth to last"}
UNTIL_FORMS = ("%Y%m%dT%H%M%SZ", "%Y%m%dT%H%M%S", "%Y%m%d")


def rule_in_words(rule: str) -> str:
    """`FREQ=WEEKLY;BYDAY=FR` as "every week on Friday"; a rule that says something else is given as it is written."""
    parts = dict(part.split("=", 1) for part in rule.upper().split(";") if "=" in part)
    unit = UNITS.get(parts.pop("FREQ", ""), "")
    said = {name: words(parts.pop(name)) for name, words in _WORDS.items() if name in parts}
    interval = parts.pop("INTERVAL", "1")
    if not unit or parts or not interval.isdigit() or not all(said.values()):
        return f"by {rule}"
    every = f"every {unit}" if interval == "1" else f"every {interval} {unit}s"
    return " ".join([every, *said.values()])


def _months(value: str) -> str:
    named = [MONTHS[int(part) - 1] for part in value.split(",") if part.isdigit() and 1 <= int(part) <= len(MONTHS)]
    return f"in {_listed(named)}" if len(named) == len(value.split(",")) else ""


def _weekdays(value: str) -> str:
    named = [_weekday(part) for part in value.split(",")]
    return f"on {_listed(named)}" if all(named) else ""


def _weekday(part: str) -> str:
    """`FR`, `1MO`, `-1FR`; empty for what is none."""
    day, number = DAYS.get(part[-2:], ""), part[:-2].removeprefix("+")
    if not number or not day:
        return day
    which = (NTH | LAST).get(number, "")
    return f"the {which} {day}" if which else ""


def _month_days(value: str) -> str:
    numbers = value.split(",")
    return f"on day {_listed(numbers)} of the month" if all(number.isdigit() for number in numbers) else ""


def _until(value: str) -> str:
    for form in UNTIL_FORMS:
        try:
            return f"until {datetime.strptime(value, form):%Y-%m-%d}"  # noqa: DTZ007 - only its day is said
        except ValueError:
            continue
    return ""


def _times(value: str) -> str:
    if not value.isdigit():
        return ""
    return "once" if value == "1" else f"{value} times"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


# In the order in which they are said.
_WORDS: dict[str, Callable[[str], str]] = {
    "BYDAY": _weekdays,
    "BYMONTHDAY": _month_days,
    "BYMONTH": _months,
    "UNTIL": _until,
    "COUNT": _times,
}
