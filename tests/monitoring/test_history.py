"""What endpoints did over a span: exact sums, time that was observed, as many queries for many as for one."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from monitoring.history import Life, counted_traffic, span_traffic, total_width, version_points, version_traffic
from monitoring.services import windows_roll_up
from monitoring.spans import Span
from tests.monitoring.windows import NOW, at, row, store

PLACE = ("production", "clinic")
DAY = timedelta(days=1)
BORN = Life(NOW - 300 * DAY)
HOUR = Span(NOW - timedelta(hours=1), NOW, "1h")


def traffic(span=HOUR, life=BORN):
    with at():
        return span_traffic({PLACE: life}, span, NOW).places[PLACE]


@pytest.mark.parametrize(
    ("span", "width"),
    [(timedelta(minutes=5), 10), (timedelta(hours=1), 60), (DAY, 600), (7 * DAY, 14_400), (90 * DAY, 86_400)],
)
def test_width__of_a_span__few_windows(span, width):
    assert total_width(Span(NOW - span, NOW), NOW) == width


def test_width__short_span_long_ago__the_finest_that_is_kept():
    assert total_width(Span(NOW - 40 * DAY, NOW - 40 * DAY + timedelta(hours=1)), NOW) == 600


@pytest.mark.parametrize("rolled", [True, False])
def test_traffic__rolled_up_or_not_yet__the_same_sums_and_quantiles(db, rolled):
    store(1, row(-1800, latencies=[4, 5, 100], errors=1), row(-60, latencies=[6], arm="candidate", version="2"))
    store(2, row(-30, arm="shadow", latencies=[900] * 9), row(-7200, latencies=[1] * 50), row(-5, endpoint="other"))
    if rolled:
        windows_roll_up()
    found = traffic()

    assert (found.summary.requests, found.summary.errors, found.versions) == (4, 1, [1, 2])
    assert found.summary.rate == pytest.approx(4 / 3600)
    assert found.summary.p99 == pytest.approx(6, rel=0.02)
    assert (len(found.rates), found.rates[30], found.rates[0]) == (60, 3 / 60, 0)


def test_traffic__younger_than_the_span__divided_by_its_life_and_a_gap_before(db):
    store(1, row(-60, latencies=[5] * 60))
    found = traffic(life=Life(NOW - timedelta(minutes=10)))

    assert (found.observed_s, found.summary.rate) == (600, 0.1)
    assert found.rates[:50] == [None] * 50
    assert found.rates[50] == 0


def test_traffic__retired__not_observed_since(db):
    found = traffic(life=Life(BORN.born, NOW - timedelta(minutes=45)))

    assert (found.observed_s, found.summary.requests, found.summary.error_share) == (900, 0, None)
    assert found.rates[15:] == [None] * 45


def test_traffic__all_together__quantiles_of_all_requests_not_of_quantiles(db):
    store(1, row(-60, latencies=[1] * 99), row(-60, endpoint="other", latencies=[1000]))
    with at():
        together = span_traffic({PLACE: BORN, ("production", "other"): BORN}, HOUR, NOW).together

    assert (together.requests, together.p50) == (100, pytest.approx(1, rel=0.02))
    assert together.p95 == pytest.approx(1, rel=0.02)


def test_traffic__same_name_in_another_environment__is_not_counted(db):
    store(1, row(-60), row(-60, environment="staging", latencies=[1] * 7))
    with at():
        found = span_traffic({PLACE: BORN, ("staging", "elsewhere"): BORN}, HOUR, NOW)

    assert (found.places[PLACE].summary.requests, found.together.requests) == (1, 1)


def test_traffic__many_endpoints__one_query(db):
    store(1, *(row(-60, endpoint=f"e{n}") for n in range(30)))
    lives = {("production", f"e{n}"): BORN for n in range(30)}
    with at(), CaptureQueriesContext(connection) as seen:
        found = span_traffic(lives, HOUR, NOW)

    assert len(seen) == 1
    assert {one.summary.requests for one in found.places.values()} == {1}


def test_counted__without_latencies__the_same_counts(db):
    store(1, row(-60, latencies=[1, 2], errors=1), row(-30, arm="shadow"), row(-50, endpoint="other"))
    with at():
        assert counted_traffic(["production"], HOUR, NOW) == {PLACE: (2, 1), ("production", "other"): (1, 0)}
        assert counted_traffic(["staging"], HOUR, NOW) == {}


def test_versions__over_all_arms__newest_first_and_by_the_time_in_which_they_were_asked(db):
    store(1, row(-1800, latencies=[5] * 60), row(-60, arm="candidate", version="2", latencies=[9], errors=1))
    store(2, row(-60, version="2", latencies=[9] * 5), row(-50, version="1"))
    with at():
        newest, older = version_traffic(PLACE, HOUR, NOW)
        points = version_points(*PLACE, since=HOUR.since, until=NOW)

    assert (newest.versions, newest.summary.requests, newest.observed_s) == ([2], 6, 60)
    assert (older.summary.arm, older.summary.requests, older.observed_s) == ("version 1", 61, 120)
    assert {(point.arm, point.requests) for point in points} == {("version 1", 60), ("version 1", 1), ("version 2", 6)}
