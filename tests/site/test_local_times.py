"""Sentences tell their moments in the reader's zone, whatever else stands in them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.template import Context, Template
from django.utils import timezone

from mlorch_site.lib.reasons import Reason
from mlorch_site.templatetags.mlorch import local_times, since, till


@pytest.mark.parametrize(
    ("zone", "sentence", "shown"),
    [
        ("Europe/Berlin", "It opens at 2026-12-01 11:25 UTC.", "It opens at 2026-12-01 12:25 CET."),
        ("Europe/Berlin", "until 2026-07-01 23:30 UTC, or", "until 2026-07-02 01:30 CEST, or"),
        ("UTC", "until 2026-07-01 23:30:05 UTC.", "until 2026-07-01 23:30:05 UTC."),
        (
            "America/New_York",
            "a 2026-01-01 03:00 UTC b 2026-01-01 05:00 UTC",
            "a 2025-12-31 22:00 EST b 2026-01-01 00:00 EST",
        ),
        ("Europe/Berlin", "Frozen: 2026-13-45 99:99 UTC.", "Frozen: 2026-13-45 99:99 UTC."),
        ("America/New_York", "Frozen: 0001-01-01 00:00 UTC.", "Frozen: 0001-01-01 00:00 UTC."),
        ("Europe/Berlin", "nothing", "nothing"),
    ],
)
def test_local_times__moments_of_a_sentence__in_the_reader_s_zone(zone, sentence, shown):
    with timezone.override(ZoneInfo(zone)):
        assert local_times(sentence) == shown


def test_why__reason_with_a_way__is_escaped_and_leads_there():
    reason = Reason("<b> until 2026-12-01 11:25 UTC", "/environments/production/", "Windows & more")
    with timezone.override(ZoneInfo("Europe/Berlin")):
        shown = Template('{% why reason "why-" name %}').render(Context({"reason": reason, "name": "x"}))

    assert shown == (
        '<small class="why" id="why-x">&lt;b&gt; until 2026-12-01 12:25 CET '
        '<a href="/environments/production/">Windows &amp; more</a></small>'
    )


@pytest.mark.parametrize(("told", "away"), [(since, timedelta(hours=-3)), (till, timedelta(hours=3, seconds=1))])
def test_relative__time_of_hours__has_its_moment_in_the_reader_s_zone(told, away):
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    with time_machine.travel(noon, tick=False), timezone.override(ZoneInfo("Asia/Kolkata")):
        html = told(noon + away)

    shown = (noon + away + timedelta(hours=5, minutes=30)).strftime("%Y-%m-%d %H:%M:%S IST")
    assert f'title="{shown}">3\xa0hours</time>' in html


def test_relative__no_moment__a_dash():
    assert Template("{{ nothing|since }}").render(Context({"nothing": None})) == "–"
