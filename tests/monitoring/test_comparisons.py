"""Shadow comparisons as a gateway counts them, as the site takes them in, and as pages read them."""

from datetime import timedelta

import pytest

from dataplane.gateway.site.windows import WindowKey, Windows
from dataplane.wire import shapes
from mlorch_site.lib.errors import Invalid
from monitoring.models import Window
from monitoring.services import windows_roll_up
from monitoring.shadow_agreement import shadow_agreements
from tests.monitoring.windows import NOW, PLACE, at, row, store

SHADOW = {"arm": "shadow", "version": "2", "release": "r2"}


def test_windows__compared_by_a_gateway__stored_as_counted(db):
    clock = NOW.timestamp() - 3
    windows = Windows(lambda: clock)
    key = WindowKey("production", "clinic", "shadow", "2", "r2")
    windows.record(key, "ok", 2.0, False)
    windows.compare(key, True, 0.0, 0.0)
    windows.compare(key, False, 2.5, 2.0)
    store(1, *map(shapes.plain, windows.take(everything=True)))

    window = Window.objects.get()
    assert (window.compared, window.agreed, window.difference_sum, window.difference_max) == (2, 1, 2.5, 2.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"compared": 1, "agreed": 2},
        {"compared": -1},
        {"compared": 1.5},
        {"difference_sum": -0.1},
        {"difference_max": float("nan")},
        {"difference_max": float("inf")},
        {"difference_sum": "1"},
        {"difference_sum": True},
    ],
)
def test_store__impossible_comparison__refused_whole(db, wrong):
    with pytest.raises(Invalid):
        store(1, row(), row(**{**SHADOW, **wrong}))

    assert not Window.objects.exists()


def test_comparisons__several_windows_and_versions__sums_per_version_rolled_up_or_not(db):
    store(1, row(-2, **SHADOW, compared=3, agreed=3), row(-2))
    store(2, row(-1, **SHADOW, compared=1, agreed=0, difference_sum=2.0, difference_max=1.5))
    store(3, row(-1, **{**SHADOW, "version": "3", "release": "r3"}, compared=5, agreed=5))
    since = NOW - timedelta(minutes=1)
    with at():
        before = shadow_agreements(**PLACE, since=since)
        windows_roll_up()
        assert shadow_agreements(**PLACE, since=since) == before
        assert shadow_agreements(**PLACE, since=NOW - timedelta(hours=1)) == before
        own = shadow_agreements(**PLACE, since=since, release="r2")

    assert [found.version for found in before] == [2, 3]
    assert own == before[:1]
    assert own[0].agreement_share == 0.75
    assert own[0].sentence == (
        "75.0 % of 4 compared answers of version 2 agree; "
        "the numbers of an answer differ by 0.5 on average, by 1.5 at most."
    )


def test_comparisons__none__empty(db):
    store(1, row())
    with at():
        assert shadow_agreements(**PLACE, since=NOW - timedelta(minutes=1)) == []
