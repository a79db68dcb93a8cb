"""Change windows: when an environment is closed, why, and when it opens."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.change_windows import LOOK_AHEAD, closure_at, read_windows, windows_problem
from registry.protection import loosens
from tests.registry.test_protection import STRICT

WEEKEND = {
    "kind": "freeze",
    "name": "Weekend",
    "zone": "Europe/Berlin",
    "starts": "2026-11-06T18:00",
    "minutes": 62 * 60,
    "rule": "FREQ=WEEKLY;BYDAY=FR",
}
OFFICE = {
    "kind": "release",
    "name": "Office hours",
    "zone": "Europe/Berlin",
    "starts": "2026-11-02T09:00",
    "minutes": 8 * 60,
    "rule": "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
    "except": ["2026-12-25"],
}
ONCE = {"kind": "freeze", "name": "Audit", "zone": "UTC", "starts": "2026-12-01T00:00", "minutes": 60}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def opens(rows: list[dict[str, Any]], now: str) -> str:
    """When it opens, in UTC; `open` while it is."""
    closure = closure_at(read_windows(rows), at(now))
    if closure is None:
        return "open"
    return f"{closure.opens_at:%Y-%m-%d %H:%M}" if closure.opens_at else "never"


@pytest.mark.parametrize(
    ("rows", "now", "expected"),
    [
        ([], "2026-11-07T12:00", "open"),
        ([WEEKEND], "2026-11-06T16:59", "open"),
        ([WEEKEND], "2026-11-06T17:00", "2026-11-09 07:00"),
        ([WEEKEND], "2026-11-09T06:59", "2026-11-09 07:00"),
        ([WEEKEND], "2026-11-09T07:00", "open"),
        # Summer time ends on 2026-10-25 at 3:00: the weekend is 63 hours long and ends at 8 by the local clock.
        ([{**WEEKEND, "starts": "2026-10-02T18:00"}], "2026-10-24T12:00", "2026-10-26 07:00"),
        ([OFFICE], "2026-11-03T12:00", "open"),
        ([OFFICE], "2026-11-03T16:00", "2026-11-04 08:00"),
        ([OFFICE], "2026-12-25T10:00", "2026-12-28 08:00"),
        ([OFFICE, WEEKEND], "2026-11-07T12:00", "2026-11-09 08:00"),
        ([ONCE], "2026-12-01T00:30", "2026-12-01 01:00"),
        ([ONCE], "2026-12-01T01:00", "open"),
        ([ONCE, {**ONCE, "name": "Longer", "minutes": 90}], "2026-12-01T00:30", "2026-12-01 01:30"),
        ([{**OFFICE, "rule": "", "starts": "2020-01-01T09:00"}], "2026-12-01T00:30", "never"),
        ([{**WEEKEND, "rule": "FREQ=WEEKLY;BYDAY=FR;UNTIL=20261110T000000"}], "2026-11-14T12:00", "open"),
        ([{**ONCE, "minutes": 366 * 24 * 60, "rule": "FREQ=DAILY"}], "2026-12-05T00:00", "never"),
    ],
)
def test_closure__windows__why_and_until_when(rows: list[dict[str, Any]], now: str, expected: str) -> None:
    assert windows_problem(rows) == ""
    assert opens(rows, now) == expected


def test_closure__reason__names_the_window() -> None:
    assert closure_at(read_windows([WEEKEND]), at("2026-11-07T12:00")).reason == "Frozen: Weekend"  # type: ignore[union-attr]
    outside = closure_at(read_windows([OFFICE]), at("2026-11-07T12:00"))
    assert outside is not None
    assert outside.reason == "Outside of the release windows (Office hours)"


rows_of_windows = st.lists(
    st.builds(
        lambda kind, day, hour, minutes, rule, zone: {
            "kind": kind,
            "name": "w",
            "zone": zone,
            "starts": f"2026-10-{day:02}T{hour:02}:30",
            "minutes": minutes,
            "rule": rule,
        },
        st.sampled_from(["freeze", "release"]),
        st.integers(1, 31),
        st.integers(0, 23),
        st.integers(1, 3000),
        st.sampled_from(["", "FREQ=DAILY;INTERVAL=2", "FREQ=WEEKLY;BYDAY=SU,WE", "FREQ=MONTHLY;BYDAY=-1FR"]),
        st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Pacific/Auckland"]),
    ),
    max_size=4,
)


@given(rows_of_windows, st.integers(0, 90 * 24 * 60))
def test_closure__any_windows__open_from_that_moment_on_and_closed_until_then(
    rows: list[dict[str, Any]], minute: int
) -> None:
    now = at("2026-10-01T00:00") + timedelta(minutes=minute)
    closure = closure_at(read_windows(rows), now)
    assert windows_problem(rows) == ""
    if closure is None:
        return
    end = closure.opens_at or now + LOOK_AHEAD
    assert end > now
    assert closure.opens_at is None or closure_at(read_windows(rows), closure.opens_at) is None
    for part in range(1, 8):
        assert closure_at(read_windows(rows), now + (end - now) * part / 8) is not None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"kind": "holiday"}, "kind is one of"),
        ({"name": " "}, "name has 1 to"),
        ({"zone": "Berlin"}, "'Berlin' is not a time zone"),
        ({"zone": 3}, "not a time zone"),
        ({"minutes": 0}, "whole number"),
        ({"minutes": True}, "whole number"),
        ({"starts": "tomorrow"}, "starts at a local time"),
        ({"starts": "2026-11-06T18:00+01:00"}, "without an offset"),
        ({"starts": "1970-01-01T00:00"}, "starts at a local time"),
        ({"except": ["2026-13-01"]}, "exceptions of a window"),
        ({"except": "2026-12-01"}, "exceptions of a window"),
        ({"rule": "FREQ=SECONDLY"}, "RRULE such as"),
        ({"rule": "FREQ=DAILY;BYMONTH=2"}, "RRULE such as"),
        ({"rule": "FREQ=MONTHLY;BYMONTHDAY=1;BYDAY=2MO"}, "RRULE such as"),
        ({"rule": "FREQ=MONTHLY;BYMONTHDAY=31"}, "from 1 to 28"),
        ({"rule": "FREQ=MONTHLY;BYDAY=9MO"}, "RRULE such as"),
        ({"rule": "FREQ=YEARLY;BYMONTH=13"}, "RRULE such as"),
        ({"rule": "FREQ=WEEKLY;INTERVAL=0"}, "interval of a rule"),
        ({"rule": "FREQ=WEEKLY;INTERVAL=²"}, "interval of a rule"),
        ({"rule": "FREQ=WEEKLY;UNTIL=soon"}, "RRULE such as"),
        ({"rule": "FREQ=WEEKLY\nEXDATE:20261106T180000"}, "RRULE such as"),
        ({"rule": ["FREQ=WEEKLY"]}, "RRULE such as"),
        ({"colour": "red"}, "has the keys"),
    ],
)
def test_problem__senseless_window__is_said(change: dict[str, Any], problem: str) -> None:
    assert problem in windows_problem([{**WEEKEND, **change}])


@pytest.mark.parametrize("rows", [{}, [1], [WEEKEND] * 51, [{}]])
def test_problem__no_list_of_windows__is_said(rows: Any) -> None:
    assert windows_problem(rows)


def test_sentence__as_people_read_it() -> None:
    assert read_windows([WEEKEND])[0].sentence == (
        "Weekend: no rollout begins from Friday 2026-11-06 18:00 for 62 h (Europe/Berlin), again every week on Friday"
    )
    assert read_windows([OFFICE])[0].sentence.endswith("not on 2026-12-25")


@pytest.mark.parametrize(
    ("before", "after", "sentences"),
    [
        ([WEEKEND], [], ["The freeze Weekend would end or change."]),
        ([WEEKEND], [WEEKEND, ONCE], []),
        ([OFFICE], [], ["Rollouts could begin at any time, without release windows."]),
        ([], [OFFICE], []),
        ([OFFICE], [OFFICE, {**OFFICE, "name": "Night"}], ["Rollouts could begin in the release window Night too."]),
    ],
)
def test_loosens__windows(before: Any, after: Any, sentences: list[str]) -> None:
    assert loosens({**STRICT, "windows": before}, {**STRICT, "windows": after}) == sentences
