"""What charts are told, without a browser."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from monitoring.charts import AGREEMENT, ARMS, EVERY_PANEL, PANELS, Marker, Marks, finished, placed
from monitoring.points import Point
from tests.monitoring.windows import NOW

RATE, LATENCY, ERRORS = PANELS
T = int(NOW.timestamp())
POINT = Point(NOW, 1, "stable", 1, requests=30, errors=3, client_errors=0, p50=4.0, p95=9.5, p99=20.0)
LATER = replace(POINT, start=NOW + timedelta(seconds=1), requests=40, errors=0)
CANDIDATE = replace(LATER, arm="candidate", version=2, requests=10, errors=1, p95=100.25)
QUIET = replace(CANDIDATE, start=NOW + timedelta(seconds=2), requests=0, errors=0, p50=None, p95=None, p99=None)
SHADOW = replace(POINT, arm="shadow", version=3, compared=8, agreed=6)


def lines(panel):
    return json.loads(panel.drawing)


def test_placed__values_and_texts__scaled_and_in_the_order_of_the_lines():
    point = placed(replace(POINT, p95=9.54321))

    assert point["values"] == {"rate": [30.0], "latency": [4.0, 9.543, 20.0], "errors": [10.0]}
    assert point["texts"] == {"rate": ["30.0"], "latency": ["4.0", "9.5", "20.0"], "errors": ["10.0"]}
    assert (point["t"], point["arm"], point["row"]) == (T, "stable", ["stable", "1"])


def test_placed__no_requests__no_value_and_a_dash():
    point = placed(QUIET)

    assert (point["values"]["latency"], point["texts"]["latency"]) == ([None] * 3, ["–"] * 3)
    assert (point["values"]["rate"], point["values"]["errors"]) == ([0.0], [None])


def test_placed__agreement__only_of_copies():
    assert placed(SHADOW)["values"]["agreement"] == [75.0]
    assert "agreement" not in placed(POINT)["values"]


@pytest.mark.parametrize(("seconds", "joined_s"), [(1, 30), (10, 30), (60, 180)])
def test_placed__joined__to_what_comes_within_half_a_minute_or_three_points(seconds, joined_s):
    assert placed(replace(POINT, seconds=seconds))["until"] == T + joined_s


def test_placed__same_second_arm_and_version__same_id():
    assert placed(POINT)["id"] == placed(replace(POINT, requests=99))["id"]
    assert len({placed(point)["id"] for point in (POINT, LATER, CANDIDATE, SHADOW)}) == 4


def test_drawing__latency__three_lines_per_arm_stable_first_and_one_named():
    names = [line["name"] for line in lines(LATENCY)]

    assert names[:6] == [f"{arm} {share}" for arm in ("stable", "candidate") for share in ("p50", "p95", "p99")]
    assert [line["name"] for line in lines(LATENCY) if line["named"]] == [f"{arm} p95" for arm in ARMS]
    assert [(line["arm"], line["name"]) for line in lines(AGREEMENT)] == [("shadow", "shadow")]


def test_drawing__arms__differ_by_more_than_colour():
    assert len({line["dash"] for line in lines(RATE)}) == len(ARMS)


@pytest.mark.parametrize("panel", EVERY_PANEL, ids=lambda panel: panel.kind)
def test_panel__any__a_value_and_a_column_for_each_line(panel):
    point = placed(SHADOW)

    for line in lines(panel):
        assert len(point["values"][panel.kind]) > line["at"]
    assert len(panel.columns) == 1 + len(point["row"]) + len(point["texts"][panel.kind])


def test_sentence__newest_of_each_arm_stable_first():
    assert LATENCY.sentence([CANDIDATE, POINT]) == "Latency in ms (p95), newest: stable 9.5, candidate 100.2."
    assert RATE.sentence([POINT, LATER, CANDIDATE, QUIET]) == "Requests per second, newest: stable 40.0, candidate 0.0."
    assert AGREEMENT.sentence([POINT, SHADOW]) == "Agreeing answers in %, newest: shadow 75.0."


def test_sentence__no_points__silence():
    assert RATE.sentence([]) == RATE.silence == "Requests per second: no requests yet."


def test_told__points__json_with_a_sentence_for_each_kind():
    message = finished([POINT, CANDIDATE, QUIET, SHADOW], NOW - timedelta(minutes=10))

    assert json.loads(json.dumps(message, allow_nan=False)) == message
    assert message["from"] == T - 600
    assert set(message["sentences"]) == {panel.kind for panel in EVERY_PANEL}


def test_told__nothing_new__no_sentence_that_says_there_is_nothing():
    assert finished([], NOW) == {"type": "points", "from": T, "points": [], "sentences": {}}


def test_marks__limits_and_markers__with_a_text_each():
    marks = json.loads(Marks([Marker(T, "10 %")], {"errors": 2.5, "latency": 100}).drawing)

    assert marks["markers"] == [{"t": T, "text": "10 %"}]
    assert marks["limits"] == {
        "errors": {"value": 2.5, "text": "stable + margin"},
        "latency": {"value": 100, "text": "SLO"},
    }
