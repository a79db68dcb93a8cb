"""Reads of telemetry: blocks for the judge, points for charts, summaries for pages."""

from datetime import timedelta

import pytest

from dataplane.wire.histogram import bucket_of
from monitoring import selectors
from monitoring.analysis.judge import ArmCounts, BucketCounts, slo_key
from monitoring.models import Window
from monitoring.services import windows_roll_up
from tests.monitoring.windows import NOW, PLACE, at, row, store

SLO = 100.0
CANDIDATE = {"arm": "candidate", "version": "2", "release": "r2"}


def blocks(after_id=0, not_before=NOW - timedelta(hours=1), release="r2", slos_ms=(SLO,)):
    return selectors.arm_counts_since(
        **PLACE, release=release, after_id=after_id, not_before=not_before, slos_ms=list(slos_ms)
    )


def test_arm_counts__a_second_of_both_arms__one_block_over_all_gateways(db):
    store(1, row(-2, latencies=[1, 500], errors=1), row(-2, latencies=[200] * 3, **CANDIDATE))
    store(1, row(-2, latencies=[300], timeouts=1, ok=0), gateway="g2")
    found, newest = blocks()

    assert len(found) == 1
    fast, slow, slower = bucket_of(1), bucket_of(500), bucket_of(300)
    over = {slo_key(SLO): 2}
    assert found[0].baseline == ArmCounts(3, errors=2, over_slo=over, latency={fast: 1, slow: 1, slower: 1})
    assert found[0].candidate == ArmCounts(3, over_slo={slo_key(SLO): 3}, latency={bucket_of(200): 3})
    assert newest == Window.objects.latest("id").pk


def test_arm_counts__with_the_cursor__each_window_once_and_late_ones_too(db):
    store(1, row(-2))
    _, cursor = blocks()
    store(2, row(-1), row(-30))
    found, newest = blocks(after_id=cursor)

    assert sum(block.baseline.requests for block in found) == 2
    assert blocks(after_id=newest) == ([], newest)


def test_arm_counts__candidate_of_another_release_or_shadow__left_out_but_passed(db):
    store(1, row(-2, **{**CANDIDATE, "release": "r9"}), row(-2, arm="shadow"), row(-2, release="r0"))
    found, newest = blocks()

    assert [(block.candidate.requests, block.baseline.requests) for block in found] == [(0, 1)]
    assert newest == Window.objects.latest("id").pk


def test_arm_counts__before_the_step_began__left_out(db):
    store(1, row(-5), row(-3))

    assert len(blocks(not_before=NOW - timedelta(seconds=4))[0]) == 1


def test_arm_counts__rolled_up_meanwhile__counted_once(db):
    store(1, row(-30))
    windows_roll_up()

    assert sum(block.baseline.requests for block in blocks()[0]) == 1


def units(slos_ms=(SLO,), **buckets):
    return {"slos_ms": list(slos_ms), "buckets": {name.removeprefix("b"): counts for name, counts in buckets.items()}}


def test_arm_counts__units__buckets_are_summed_over_gateways_and_named_by_their_second(db):
    slow = {"latencies": [1, 500, 500], "errors": 1}
    store(1, row(-2, **slow, units=units(b3=[2, 1, 0, 1])), row(-2, **CANDIDATE, units=units(b9=[1, 0, 0, 0])))
    store(1, row(-2, **slow, units=units(b3=[1, 0, 0, 1], b9=[1, 0, 0, 0])), gateway="g2")
    store(1, row(-2), gateway="of the version before")
    (found,), _ = blocks()

    assert found.start == int(NOW.timestamp()) - 2
    assert found.baseline.requests == 7
    assert found.baseline.buckets == {
        3: BucketCounts(3, 1, 0, {slo_key(SLO): 2}),
        9: BucketCounts(1, 0, 0, {slo_key(SLO): 0}),
    }
    assert found.candidate.buckets == {9: BucketCounts(1, 0, 0, {slo_key(SLO): 0})}


def test_arm_counts__units_of_other_objectives__are_in_no_bucket(db):
    store(1, row(-2, units=units((50.0,), b3=[1, 0, 0, 0])), row(-1, units=units((50.0, SLO), b3=[1, 0, 0, 0, 0])))
    found, _ = blocks()

    assert [block.baseline.buckets for block in found] == [{}, {3: BucketCounts(1, 0, 0, {slo_key(SLO): 0})}]
    assert [block.baseline.requests for block in found] == [1, 1]


def test_arm_counts__more_than_one_look_takes__the_rest_comes_with_the_next(db, monkeypatch):
    monkeypatch.setattr(selectors, "BLOCK_BUCKETS_MAX", 1)
    store(1, *(row(-second, units=units(b3=[1, 0, 0, 0])) for second in range(5, 0, -1)))
    cursor, looks = 0, []
    while True:
        found, newest = blocks(after_id=cursor)
        if newest == cursor:
            break
        cursor, looks = newest, [*looks, [block.start - int(NOW.timestamp()) for block in found]]

    assert looks == [[-5, -4], [-3, -2], [-1]]


def test_units__rolled_up__are_not_kept(db):
    store(1, row(-30, units=units(b3=[1, 0, 0, 0])))
    windows_roll_up()

    assert set(Window.objects.exclude(seconds=1).values_list("units", flat=True)) == {None}
    assert Window.objects.get(seconds=1).units == units(b3=[1, 0, 0, 0])


def test_traffic_rate__over_the_last_full_seconds(db):
    store(1, *(row(-second, latencies=[1] * 6) for second in range(3, 33)), row(-60), row(-1))

    with at():
        assert selectors.traffic_rate("production", "clinic") == pytest.approx(6.0)
        assert selectors.traffic_rate("production", "nothing") == 0


@pytest.mark.parametrize("rolled_up", ["not at all", "half", "all"])
def test_summary__however_far_rolled_up__the_same_numbers(db, rolled_up):
    store(1, *(row(-second, latencies=[10] * 9 + [1000], errors=1) for second in range(100, 200)))
    if rolled_up != "not at all":
        windows_roll_up()
    store(2, row(-50, latencies=[20.0] * 10, **CANDIDATE))
    if rolled_up == "all":
        windows_roll_up()
    with at():
        total, candidate, stable = selectors.summary("production", "clinic", minutes=10)

    assert (total.arm, candidate.arm, stable.arm) == ("all", "candidate", "stable")
    assert (total.requests, candidate.requests, stable.requests) == (1010, 10, 1000)
    assert stable.error_share == pytest.approx(0.1)
    assert stable.rate == pytest.approx(1000 / 600, rel=0.02)
    assert (stable.p50, stable.p99) == (pytest.approx(10, rel=0.01), pytest.approx(1000, rel=0.01))


@pytest.mark.parametrize("minutes", [1, 10, 3000])
def test_summary__no_traffic__cannot_say(db, minutes):
    with at():
        [total] = selectors.summary("production", "clinic", minutes=minutes)

    assert (total.requests, total.rate, total.error_share, total.p95) == (0, 0, None, None)


def test_summary__other_endpoint_of_the_same_name__left_out(db):
    store(1, row(environment="staging"))
    with at():
        assert selectors.summary("production", "clinic", minutes=1)[0].requests == 0


@pytest.mark.parametrize("seconds", [1, 10, 30, 60])
def test_series__any_width__keeps_every_request(db, seconds):
    store(1, *(row(-second) for second in range(120)))
    windows_roll_up()
    store(2, row(-1, **CANDIDATE))
    points = selectors.series("production", "clinic", since=NOW - timedelta(minutes=10), seconds=seconds)

    assert sum(point.requests for point in points) == 121
    assert points == sorted(points, key=lambda point: (point.start, point.arm))
    assert {int(point.start.timestamp()) % seconds for point in points} == {0}


def test_series__until__ends_there(db):
    store(1, row(-5), row(-1))
    points = selectors.series(
        "production", "clinic", since=NOW - timedelta(minutes=1), until=NOW - timedelta(seconds=3)
    )

    assert [point.start for point in points] == [NOW - timedelta(seconds=5)]


@pytest.mark.parametrize(("days", "seconds"), [(0.1, 60), (3, 600), (90, 14_400)])
def test_series_of_span__long__the_finest_points_that_make_a_chart(db, days, seconds):
    store(1, row(-5, latencies=[1, 2]), row(-4))
    windows_roll_up()
    with at():
        points = selectors.series_of_span("production", "clinic", since=NOW - timedelta(days=days), until=NOW)

    assert [(point.seconds, point.requests) for point in points] == [(seconds, 3)]


def after(cursor, not_before=NOW - timedelta(minutes=10)):
    return selectors.series_after("production", "clinic", after_id=cursor, not_before=not_before)


def test_series_after__second_gateway_comes_later__the_point_is_sent_again_whole(db):
    store(1, row(-2, latencies=[1]))
    first, cursor = after(0)
    store(1, row(-2, latencies=[2, 3]), gateway="g2")
    second, newest = after(cursor)

    assert [point.requests for point in first + second] == [1, 3]
    assert newest > cursor
    assert after(newest) == ([], newest)


def test_series_after__too_old_to_be_drawn__passed_over(db):
    store(1, row(-3000), row(-2))
    points, newest = after(0)

    assert [point.start for point in points] == [NOW - timedelta(seconds=2)]
    assert newest == Window.objects.latest("id").pk


def test_series_after__an_arm_without_news__comes_with_its_newest_point(db):
    store(1, row(-40, **CANDIDATE), row(-39, **CANDIDATE), row(-40))
    _, cursor = after(0)
    store(2, row(-2))
    points, _ = after(cursor)

    assert [(point.arm, point.start) for point in points] == [
        ("candidate", NOW - timedelta(seconds=39)),
        ("stable", NOW - timedelta(seconds=2)),
    ]


def test_point__rate_share_and_quantiles(db):
    store(1, row(-2, latencies=[10, 10, 10, 30], errors=1))
    [point], _ = after(0)

    assert (point.rate, point.error_share, point.p50) == (4.0, 0.25, pytest.approx(10, rel=0.01))


def test_point__only_rejected_requests__no_share_and_no_quantile(db):
    store(1, row(-2, latencies=[], rejected=5))
    [point], _ = after(0)

    assert (point.error_share, point.p95) == (None, None)


def test_drawn__since_a_moment__both_arms_of_this_release(db):
    earlier = row(-9, drawn=1)
    store(1, earlier, row(-5, drawn=1), row(-4, latencies=[1, 2], drawn=2, **CANDIDATE))
    store(2, row(-3, drawn=1, **{**CANDIDATE, "release": "r9"}), row(-3))

    since = NOW - timedelta(seconds=5)
    assert selectors.drawn_since(**PLACE, release="r2", since=since, now=NOW) == (2, 1, 0)


@pytest.mark.parametrize("rolled_up", [True, False])
def test_drawn__long_span__read_from_roll_ups_and_counted_once(db, rolled_up):
    store(1, *(row(-second, latencies=[second], drawn=1) for second in range(1, 1500, 10)))
    if rolled_up:
        windows_roll_up()
        Window.objects.filter(seconds=1).delete()

    since = NOW - timedelta(seconds=1500)
    assert selectors.drawn_since(**PLACE, release="r2", since=since, now=NOW) == (0, 150, 0)
    assert selectors.slowest_answer_s(**PLACE, since=since, now=NOW) == pytest.approx(1.491)


def test_slowest_answer__nothing_asked__zero(db):
    assert selectors.slowest_answer_s(**PLACE, since=NOW, now=NOW) == 0.0


def test_totals__several_places__each_its_own_and_like_its_summary(db):
    elsewhere = {"environment": "staging", "endpoint": "other"}
    store(1, row(-9, latencies=[1, 2]), row(-9, **CANDIDATE), row(-9, **elsewhere), row(-9, endpoint="other"))
    places = [("production", "clinic"), ("staging", "other"), ("production", "quiet")]
    with at():
        found = selectors.totals(dict.fromkeys(places), minutes=10)
        clinic = selectors.summary("production", "clinic", minutes=10)[0]

    assert {place: total.requests for place, total in found.items()} == dict(zip(places, [3, 1, 0], strict=True))
    assert found["production", "clinic"] == clinic


def test_figures_of_clients__copies_to_a_shadow__are_not_counted_as_requests(db):
    store(1, *(row(-second, arm="shadow", version="2", release="r2") for second in range(3, 33)), row(-9))
    with at():
        everything, shadow, stable = selectors.summary("production", "clinic", minutes=1)
        rate = selectors.traffic_rate("production", "clinic")
        total = selectors.totals({("production", "clinic"): None}, minutes=1)["production", "clinic"]

    assert (everything.requests, shadow.requests, stable.requests, total.requests) == (1, 30, 1, 1)
    assert rate == pytest.approx(1 / selectors.RATE_SPAN_S)


def test_arm_counts__mirrored__copies_of_the_release_are_the_candidates(db):
    store(
        1, row(-2, **{**CANDIDATE, "arm": "shadow"}), row(-2, arm="shadow", release="r0"), row(-2, **CANDIDATE), row(-2)
    )
    found, _ = selectors.arm_counts_since(
        **PLACE, release="r2", after_id=0, not_before=NOW - timedelta(hours=1), slos_ms=[SLO], candidate_arm="shadow"
    )

    assert [(block.candidate.requests, block.baseline.requests) for block in found] == [(1, 1)]
