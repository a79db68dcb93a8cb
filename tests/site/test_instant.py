"""What `?at=` names, in whose time zone, and the sentence where it names nothing."""

import contextlib
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlorch_site.lib.errors import Invalid
from mlorch_site.lib.instant import read_instant

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-03T14:00+01:00", "2026-11-03T13:00:00+00:00"),
        ("2026-11-03T14:00 01:00", "2026-11-03T13:00:00+00:00"),  # a plus in an address that was not encoded
        ("2026-11-03T14:00:00.123456Z", "2026-11-03T14:00:00.123456+00:00"),
        ("2026-11-03T14:00", "2026-11-03T13:00:00+00:00"),
        ("2026-11-03 14:00", "2026-11-03T13:00:00+00:00"),
        ("2026-11-03 14:00 02:00", "2026-11-03T12:00:00+00:00"),
        ("2026-07-01T14:00", "2026-07-01T12:00:00+00:00"),
        ("2026-11-03", "2026-11-03T22:59:59.999999+00:00"),
        ("2026-10-25", "2026-10-25T22:59:59.999999+00:00"),  # a day of 25 hours
        ("2026-11-30", "2026-11-30T12:00:00+00:00"),  # today ends later
        ("2026-10-25T02:30+02:00", "2026-10-25T00:30:00+00:00"),
        (" 2026-11-30T13:00 ", "2026-11-30T12:00:00+00:00"),
    ],
)
def test_instant__readable__is_the_moment_in_utc(text, meant):
    assert read_instant(text, zone=BERLIN, now=NOW).isoformat() == meant


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Say at which moment"),
        ("yesterday", "names no moment"),
        ("2026-13-01T00:00", "names no moment"),
        ("14:00", "names no moment"),
        ("0001-01-01T00:00+14:00", "names no moment"),
        ("9999-12-31", "names no moment"),
        ("2026-11-03T14:00\x00", "names no moment"),
        ("2" * 500, "at most 40 characters"),
        ("2026-11-30T13:00:01", "is in the future"),
        ("2026-12-01", "is in the future"),
        ("2026-10-25T02:30", "twice; add the offset that is meant, +0200 or +0100"),
        ("2026-03-29T02:30", "never"),
    ],
)
def test_instant__names_none__says_what_to_write(text, sentence):
    with pytest.raises(Invalid) as refused:
        read_instant(text, zone=BERLIN, now=NOW)

    assert sentence in refused.value.message
    assert "at" in refused.value.details


@given(text=st.text(max_size=45))
def test_instant__any_text__is_a_moment_that_was_or_a_sentence(text):
    with contextlib.suppress(Invalid):
        assert read_instant(text, zone=BERLIN, now=NOW) <= NOW


@given(before=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=9000)))
def test_instant__as_an_address_of_ours_writes_it__is_that_moment(before):
    moment = NOW - before
    assert read_instant(moment.isoformat(), zone=BERLIN, now=NOW) == moment
