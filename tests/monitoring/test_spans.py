"""Spans as addresses name them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from mlorch_site.lib.errors import Invalid
from monitoring.spans import Span, read_span

NOW = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def read(**query: str) -> Span:
    return read_span(query, zone=BERLIN, now=NOW)


def test_read__nothing_said__the_last_day():
    assert read() == Span(NOW - timedelta(hours=24), NOW, "24h")
    assert read(range="90d").since == NOW - timedelta(days=90)


def test_read__from_and_to__in_the_reader_s_zone_and_a_date_begins_or_ends_its_day():
    assert read(**{"from": "2026-11-20T10:00", "to": "2026-11-20T11:30+00:00"}) == Span(
        datetime(2026, 11, 20, 9, 0, tzinfo=UTC), datetime(2026, 11, 20, 11, 30, tzinfo=UTC)
    )
    day = read(**{"from": "2026-11-20", "to": "2026-11-20"})
    assert day.since == datetime(2026, 11, 19, 23, 0, tzinfo=UTC)
    assert day.until.astimezone(BERLIN).strftime("%d %H:%M") == "20 23:59"
    assert read(**{"from": "2026-11-20"}).until == NOW


@pytest.mark.parametrize(
    "query",
    [
        {"range": "2y"},
        {"from": "yesterday"},
        {"to": "2026-11-20"},
        {"from": "2026-11-23T12:59", "to": "2026-11-23T12:59"},
        {"from": "2026-11-24", "to": "2026-11-25"},
        {"from": "2020-01-01", "to": "2020-01-02"},
        {"from": "2026-11-20T10:00\x00"},
        {"from": "9" * 5000},
    ],
)
def test_read__what_names_no_span__is_refused_with_the_field(query):
    with pytest.raises(Invalid) as refused:
        read_span(query, zone=UTC, now=NOW)
    assert set(refused.value.details) <= {"from", "to", "range"}


def test_span__its_address__leads_to_the_same_span():
    fixed = read(**{"from": "2026-11-20T10:00", "to": "2026-11-20T11:30"})
    for span in (read(range="7d"), fixed):
        parts = dict(part.split("=") for part in span.fixed_query.replace("%3A", ":").replace("%2B", "+").split("&"))
        again = read_span(parts, zone=UTC, now=NOW)
        assert (again.since, again.until) == (span.since, span.until)
    assert read(range="7d").query == "range=7d"
    assert fixed.query == fixed.fixed_query


def test_aligned__windows_that_touch_it__and_before__as_long_as_it():
    span = Span(NOW - timedelta(hours=1), NOW).aligned(600)

    assert (span.since, span.until) == (NOW.replace(hour=11, second=0), NOW.replace(minute=10, second=0))
    assert span.before.until == span.since
    assert span.before.seconds == span.seconds
