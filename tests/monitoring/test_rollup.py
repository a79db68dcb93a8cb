"""Roll-ups hold exactly what the one-second windows held, and what is let go was rolled up before."""

from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataplane.wire.histogram import merged
from mlorch_site.live import outbox
from mlorch_site.live.models import Event
from monitoring.models import GatewayCursor, RollUpCursor, Window
from monitoring.services import retention_apply, windows_roll_up
from tests.monitoring.windows import NOW, at, latency, row, store, totals

WIDTHS = (10, 60, 600, 14_400, 86_400)
SECONDS = st.tuples(
    st.integers(-1500, 0), st.sampled_from(["stable", "candidate"]), st.lists(st.floats(0, 1e4), max_size=5)
)


def rolled(seconds: int):
    """The roll-ups of one width as comparable values."""
    fields = ("arm", "version", "release", "gateway", "start", "requests", "ok", "server_errors", "rejected", "latency")
    return sorted(Window.objects.filter(seconds=seconds).values_list(*fields), key=lambda values: values[:5])


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(SECONDS, max_size=25), st.integers(1, 25))
def test_roll_up__windows_in_any_order_and_portions__sums_and_histograms_are_exact(db, arrivals, portion):
    Window.objects.all().delete()
    GatewayCursor.objects.all().delete()
    for number, (second, arm, values) in enumerate(arrivals, 1):
        store(number, row(second, arm=arm, latencies=values))
        if number % portion == 0:
            windows_roll_up()
    windows_roll_up()

    fine = [window.latency for window in Window.objects.filter(seconds=1)]
    for width in WIDTHS:
        assert totals(width) == totals(1)
        coarse = merged([window.latency for window in Window.objects.filter(seconds=width)])
        assert (coarse.zero, coarse.buckets) == (merged(fine).zero, merged(fine).buckets)
        assert {int(window.start.timestamp()) % width for window in Window.objects.filter(seconds=width)} <= {0}


def test_roll_up__two_gateways__one_row_per_arm_and_span(db):
    store(1, row(-10, latencies=[1, 2], errors=1), gateway="g1")
    store(1, row(-9, latencies=[3], rejected=4), gateway="g2")
    windows_roll_up()

    window = Window.objects.get(seconds=10)
    assert (window.gateway, window.requests, window.ok, window.server_errors, window.rejected) == ("", 3, 2, 1, 4)
    assert window.latency == latency([1, 2, 3])


@pytest.mark.parametrize(
    ("migration", "width"), [("0004_roll_ups_of_four_hours", 14_400), ("0007_roll_ups_of_a_day", 86_400)]
)
def test_migration__of_an_older_site__fills_wide_ones_from_those_before(db, migration, width):
    store(1, row(-1400, latencies=[1, 2], errors=1), row(0, latencies=[3]), row(-10, arm="candidate", version="2"))
    windows_roll_up()
    before = rolled(width)
    Window.objects.filter(seconds=width).delete()
    import_module(f"monitoring.migrations.{migration}").fill(apps, None)

    assert rolled(width) == before
    assert len(before) == (3 if width == 14_400 else 2)


def test_roll_up__twice__the_same(db):
    store(1, row(-30), row(-20), row(-1, arm="candidate"))
    assert windows_roll_up() == 3
    before = [rolled(width) for width in WIDTHS]

    assert windows_roll_up() == 0
    assert [rolled(width) for width in WIDTHS] == before


@pytest.mark.parametrize("age_s", [400, 6 * 3600])
def test_roll_up__window_arrives_late__is_added_even_where_the_fine_ones_are_gone(db, age_s):
    store(1, row(-age_s))
    windows_roll_up()
    retention_apply(now=NOW)
    store(2, row(-age_s))
    windows_roll_up()
    retention_apply(now=NOW)

    assert totals(600) == {"stable": 2}


def test_roll_up__more_than_one_portion__all(db, monkeypatch):
    monkeypatch.setattr("monitoring.services.rollup.ROLL_UP_BATCH", 3)
    store(1, *(row(-n) for n in range(10)))

    assert windows_roll_up() == 10
    assert totals(10) == {"stable": 10}


def test_roll_up__versions_and_releases__stay_apart(db):
    store(1, row(-10), row(-10, version="2"), row(-10, release="r2"), row(-10, endpoint="other"))
    windows_roll_up()

    assert Window.objects.filter(seconds=10).count() == 4


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [(1, timedelta(hours=2)), (10, timedelta(hours=24)), (60, timedelta(days=30)), (600, timedelta(days=400))],
)
def test_retention__by_tier__goes_only_past_its_time(db, seconds, kept):
    for age in (kept - timedelta(seconds=1), kept + timedelta(seconds=1)):
        Window.objects.create(
            environment="e",
            endpoint="x",
            arm="stable",
            version=1,
            release="r",
            seconds=seconds,
            start=NOW - age,
            requests=0,
            ok=0,
        )
    windows_roll_up()
    Window.objects.exclude(seconds=seconds).delete()
    retention_apply(now=NOW)

    assert [window.start for window in Window.objects.filter(seconds=seconds)] == [NOW - kept + timedelta(seconds=1)]


def test_retention__not_rolled_up_yet__stays(db):
    store(1, row(-3 * 3600))
    retention_apply(now=NOW)
    assert totals(1) == {"stable": 1}

    windows_roll_up()
    retention_apply(now=NOW)
    assert (totals(1), totals(10)) == ({}, {"stable": 1})


def event(kind: str, age: timedelta, *, relayed: bool) -> int:
    with transaction.atomic():
        made = outbox.publish("releases", kind)
    Event.objects.filter(pk=made.pk).update(at=NOW - age, relayed_at=NOW if relayed else None)
    return made.pk


def test_retention__events__chatter_goes_first_and_nothing_untold_goes(db):
    hour, days = timedelta(hours=1), timedelta(days=2)
    event("windows.stored", hour, relayed=False)
    fresh = event("windows.stored", timedelta(minutes=1), relayed=False)
    young = event("release.changed", hour, relayed=True)
    event("release.changed", days, relayed=True)
    untold = event("release.changed", days, relayed=False)
    retention_apply(now=NOW)

    assert set(Event.objects.values_list("pk", flat=True)) == {fresh, young, untold}


def test_retention__boot_not_heard_of_for_weeks__its_cursor_goes(db):
    store(1, row())
    retention_apply(now=NOW + timedelta(days=13))
    assert GatewayCursor.objects.count() == 1

    retention_apply(now=NOW + timedelta(days=15))
    assert GatewayCursor.objects.count() == 0


def test_tasks__run_by_the_clock(db):
    from monitoring.tasks import retention, rollup

    store(1, row(-3 * 3600))
    with at():
        rollup()
        retention()

    assert (totals(1), totals(60)) == ({}, {"stable": 1})
    assert RollUpCursor.objects.get().window_id > 0


def test_roll_up__comparisons__counts_and_differences_are_summed_and_the_largest_is_kept(db):
    store(1, row(-10, arm="shadow", compared=4, agreed=3, difference_sum=0.5, difference_max=0.4))
    store(2, row(-9, arm="shadow", compared=2, agreed=2, difference_sum=0.25, difference_max=0.1))
    windows_roll_up()

    for width in WIDTHS:
        fields = ("compared", "agreed", "difference_sum", "difference_max")
        assert list(Window.objects.filter(seconds=width).values_list(*fields)) == [(6, 5, 0.75, 0.4)]
