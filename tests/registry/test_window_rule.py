"""Recurrence rules as people say them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.window_rule import rule_in_words


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("FREQ=DAILY", "every day"),
        ("FREQ=WEEKLY;BYDAY=FR", "every week on Friday"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE,FR", "every 2 weeks on Monday, Wednesday and Friday"),
        ("FREQ=MONTHLY;BYDAY=-1FR", "every month on the last Friday"),
        ("FREQ=MONTHLY;BYDAY=1MO,3MO", "every month on the first Monday and the third Monday"),
        ("FREQ=MONTHLY;BYMONTHDAY=1,15", "every month on day 1 and 15 of the month"),
        ("FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24", "every year on day 24 of the month in December"),
        ("FREQ=WEEKLY;BYDAY=SA;UNTIL=20270131T235959Z", "every week on Saturday until 2027-01-31"),
        ("FREQ=DAILY;COUNT=10", "every day 10 times"),
        ("freq=weekly;byday=fr", "every week on Friday"),
    ],
)
def test_rule__in_words(rule: str, words: str) -> None:
    assert rule_in_words(rule) == words


@pytest.mark.parametrize(
    "rule", ["FREQ=HOURLY", "FREQ=WEEKLY;BYSETPOS=1", "FREQ=WEEKLY;BYDAY=XX", "FREQ=DAILY;COUNT=x"]
)
def test_rule__says_something_else__is_given_as_written(rule: str) -> None:
    assert rule_in_words(rule) == f"by {rule}"


@given(st.text(max_size=60))
def test_rule__any_text__is_never_an_error(text: str) -> None:
    assert rule_in_words(text).startswith(("every ", "by "))
