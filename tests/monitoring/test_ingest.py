"""Batches of windows: each stored once, in order, or refused whole."""

import json

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataplane.gateway.core.compiled_table import UnitBasis
from dataplane.gateway.site.windows import WindowKey, Windows
from dataplane.wire import shapes
from dataplane.wire.histogram import place_of
from mlorch_site.lib.errors import Invalid
from mlorch_site.live.models import Event
from monitoring.models import GatewayCursor, Window
from monitoring.services import BatchGap
from tests.monitoring.windows import NOW, at, batch, row, store

TOKEN = "control-token"


def test_store__new_batch__windows_cursor_and_one_event_per_endpoint(db):
    store(1, row(), row(arm="candidate", version="2"), row(endpoint="other"), dropped_windows=3)

    assert Window.objects.count() == 3
    assert list(GatewayCursor.objects.values_list("sequence", "dropped_windows")) == [(1, 3)]
    assert sorted(Event.objects.values_list("topic", "kind")) == [
        ("endpoint.production.clinic", "windows.stored"),
        ("endpoint.production.other", "windows.stored"),
    ]


def test_store__locks_the_event_head_before_it_takes_window_ids(db):
    """Only so do ids rise in the order of commits when several gateways push at once."""
    with CaptureQueriesContext(connection) as queries:
        store(1, row())
    said = [query["sql"] for query in queries]
    head = next(n for n, sql in enumerate(said) if sql.startswith('UPDATE "live_eventhead"'))

    assert head < next(n for n, sql in enumerate(said) if sql.startswith('INSERT INTO "monitoring_window"'))


def test_store__same_batch_again__accepted_without_effect(db):
    store(1, row())
    store(2, row(-1))

    assert (store(1, row()), store(2, row(-1))) == (1, 2)
    assert Window.objects.count() == 2
    assert Event.objects.count() == 2


def test_store__batch_missing__gap_names_the_expected_and_stores_nothing(db):
    store(1, row())
    with pytest.raises(BatchGap) as caught:
        store(3, row())

    assert caught.value.details == {"expected": 2}
    assert Window.objects.count() == 1


def test_store__gateway_says_it_lost_the_batch__accepted_and_goes_on_from_there(db):
    store(1, row())
    store(4, row(-1), gap=True)

    assert store(5, row(0)) == 5
    assert Window.objects.count() == 3


def test_store__other_boot_or_other_gateway__counts_for_itself(db):
    store(1, row())
    store(1, row(), boot="b2")
    store(1, row(), gateway="g2")

    assert Window.objects.count() == 3


def test_store__one_bad_window__nothing_of_the_batch(db):
    with pytest.raises(Invalid):
        store(1, row(), row(ok=-1))

    assert (Window.objects.count(), GatewayCursor.objects.count(), Event.objects.count()) == (0, 0, 0)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 6), max_size=30))
def test_store__any_order_with_repeats__each_accepted_batch_once(db, sequences):
    Window.objects.all().delete()
    GatewayCursor.objects.all().delete()
    reached = 0
    for sequence in sequences:
        if sequence <= reached + 1:
            store(sequence, row(release=str(sequence)))
            reached = max(reached, sequence)
        else:
            with pytest.raises(BatchGap) as caught:
                store(sequence, row(release=str(sequence)))
            assert caught.value.details == {"expected": reached + 1}

    assert sorted(Window.objects.values_list("release", flat=True)) == [str(n) for n in range(1, reached + 1)]


BAD_WINDOWS = {
    "not an object": [],
    "negative count": row(rejected=-1),
    "fraction": row(ok=1.0),
    "boolean": row(ok=True),
    "enormous count": row(rejected=10**7),
    "sum is wrong": row(requests=2),
    "latency misses a request": row(latency={"zero": 0, "buckets": {}}),
    "latency is a list": row(latency=[]),
    "bucket out of range": row(latency={"buckets": {"99999": 1}}),
    "negative bucket": row(latency={"zero": 2, "buckets": {"5": -1}}),
    "latency not finite": row(latency={"zero": 1, "sum_ms": float("inf")}),
    "latency of years": row(latency={"zero": 1, "max_ms": 1e12}),
    "two seconds wide": row(seconds=2),
    "too far ahead": row(61),
    "too old": row(-7 * 24 * 3600 - 1),
    "no endpoint": row(endpoint=""),
    "endpoint too long": row(endpoint="x" * 81),
    "endpoint with NUL": row(endpoint="a\x00"),
    "environment is a number": row(environment=1),
    "version is a word": row(version="two"),
    "version is a superscript": row(version="²"),
    "units beyond its requests": row(units={"slos_ms": [], "buckets": {"3": [2, 0, 0]}}),
}


@pytest.mark.parametrize("case", BAD_WINDOWS)
def test_store__malformed_window__refused(db, case):
    with pytest.raises(Invalid):
        store(1, BAD_WINDOWS[case])


@pytest.mark.parametrize("start", [60, -7 * 24 * 3600])
def test_store__clocks_apart_within_bounds__accepted(db, start):
    assert store(1, row(start)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"boot": ""},
        {"boot": "x" * 37},
        {"boot": "a\x00"},
        {"sequence": 0},
        {"sequence": "1"},
        {"sequence": True},
        {"sequence": 2**64},
        {"windows": {}},
        {"windows": [{}] * 5001},
        {"dropped_windows": -1},
        {"dropped_windows": 2**64},
    ],
)
def test_store__malformed_batch__refused(db, change):
    with pytest.raises(Invalid):
        store(**{"sequence": 1, **change})


def push(body, *, token=TOKEN, gateway="g1"):
    client = Client(headers={"Authorization": f"Bearer {token}"})
    with at():
        data = body if isinstance(body, bytes) else json.dumps(body)
        return client.post(f"/internal/v1/gateways/{gateway}/windows", data, content_type="application/json")


@pytest.fixture(autouse=True)
def _token(settings):
    settings.CONTROL_TOKEN = TOKEN


def test_push__answers_as_the_wire_format_says(db):
    assert push(batch(1, row())).json() == {"accepted": 1}
    assert push(batch(1, row())).json() == {"accepted": 1}
    gap = push(batch(3, row()))
    assert (gap.status_code, gap.json()) == (409, {"expected": 2})
    assert push(batch(3, row(), gap=True)).json() == {"accepted": 3}


def test_push__without_the_token__401(db):
    assert push(batch(1, row()), token="guess").status_code == 401
    assert Window.objects.count() == 0


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b"[]", b'{"boot": NaN}', b"null"])
def test_push__not_a_batch__400(db, body):
    assert push(body).status_code == 400


def test_push__enormous_body__413(db):
    assert push(b" " * (2 * 1024 * 1024 + 1)).status_code == 413


@pytest.mark.parametrize("gateway", ["x" * 81, "a%00b"])
def test_push__impossible_gateway__400(db, gateway):
    assert push(batch(1, row()), gateway=gateway).status_code == 400


def test_push__gateways_own_windows__are_what_the_site_stores(db):
    moment = [NOW.timestamp() - 1.5]
    windows = Windows(lambda: moment[0])
    key = WindowKey("production", "clinic", "candidate", "2", "r2")
    for outcome, latency_ms in [("ok", 3.0), ("ok", 0.0), ("timeouts", 10_000.0), ("client_errors", 1.0)]:
        windows.record(key, outcome, latency_ms, drawn=True)
    windows.record(key, "timeouts", 20.0, False, 7, UnitBasis("salt", (10.0,), (place_of(10.0),)))
    windows.reject(key)
    moment[0] += 1

    assert push(batch(1, *map(shapes.plain, windows.take()))).status_code == 200
    stored = Window.objects.get()
    assert (stored.requests, stored.ok, stored.timeouts, stored.client_errors) == (5, 2, 2, 1)
    assert stored.units == {"slos_ms": [10.0], "buckets": {"7": [1, 1, 0, 1]}}
    assert (stored.rejected, stored.drawn, stored.latency["max_ms"]) == (1, 4, 10_000.0)
