"""Figures out of points, without a browser."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from monitoring.charts import PANELS, Marker, chart, summary_sentence, table_rows
from monitoring.selectors import Point
from tests.monitoring.windows import NOW

POINT = Point(NOW, 1, "stable", 1, requests=30, errors=3, client_errors=0, p50=4.0, p95=9.5, p99=20.0)
LATER = replace(POINT, start=NOW + timedelta(seconds=1), requests=40, errors=0)
CANDIDATE = replace(LATER, arm="candidate", version=2, requests=10, errors=1, p95=100.25)
QUIET = replace(CANDIDATE, start=NOW + timedelta(seconds=2), requests=0, errors=0, p50=None, p95=None, p99=None)
POINTS = [POINT, LATER, CANDIDATE, QUIET]


def names(kind):
    return [trace["name"] for trace in chart(kind, POINTS).figure["data"]]


def test_chart__rate__one_line_per_arm_stable_first():
    stable, candidate = chart("rate", POINTS).figure["data"]

    assert (stable["name"], stable["y"], stable["x"]) == (
        "stable",
        [30.0, 40.0],
        ["2026-11-23T12:00:00", "2026-11-23T12:00:01"],
    )
    assert (candidate["name"], candidate["y"]) == ("candidate", [10.0, 0.0])


def test_chart__latency__three_quantiles_per_arm():
    assert names("latency") == [f"{arm} {share}" for arm in ("stable", "candidate") for share in ("p50", "p95", "p99")]


def test_chart__errors__in_percent_and_no_value_without_requests():
    stable, candidate = chart("errors", POINTS).figure["data"]

    assert (stable["y"], candidate["y"]) == ([10.0, 0.0], [10.0, None])


def test_chart__arms__differ_by_more_than_colour():
    dashes = [trace["line"]["dash"] for trace in chart("rate", POINTS).figure["data"]]

    assert len(set(dashes)) == 2


def test_chart__limit_and_markers__lines_with_a_text_each():
    layout = chart("errors", POINTS, [Marker(NOW.timestamp(), "10 %")], limit=2.5).figure["layout"]
    step, guardrail = layout["shapes"]

    assert (step["x0"], step["x1"], step["yref"]) == ("2026-11-23T12:00:00", "2026-11-23T12:00:00", "paper")
    assert (guardrail["y0"], guardrail["y1"], guardrail["xref"]) == (2.5, 2.5, "paper")
    assert [note["text"] for note in layout["annotations"]] == ["10 %", "stable + margin"]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.kind)
def test_chart__any_kind__is_json_on_transparent_ground_and_matches_its_table(panel):
    made = chart(panel.kind, POINTS)

    assert json.loads(json.dumps(made.figure, allow_nan=False)) == made.figure
    assert made.figure["layout"]["paper_bgcolor"] == made.figure["layout"]["plot_bgcolor"] == "rgba(0,0,0,0)"
    assert {len(row) for row in made.rows} == {len(panel.columns)}


def test_table_rows__newest_first_with_a_dash_for_no_value():
    assert table_rows("latency", POINTS)[0] == ["12:00:02", "candidate", "2", "–", "–", "–"]
    assert table_rows("errors", POINTS)[-1] == ["12:00:00", "stable", "1", "10.0"]


def test_summary_sentence__newest_of_each_arm():
    assert (
        summary_sentence("latency", [POINT, CANDIDATE]) == "Latency in ms (p95), newest: stable 9.5, candidate 100.2."
    )
    assert summary_sentence("rate", []) == "Requests per second: no requests yet."


def test_chart__no_points__empty_figure():
    made = chart("rate", [])

    assert (made.figure["data"], made.rows) == ([], [])


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.kind)
def test_spec__names_values_that_points_have(panel):
    spec = json.loads(panel.spec)

    assert spec["title"] == panel.title
    assert {line["key"] for line in spec["lines"]} <= set(POINT.to_dict())
    assert 0 <= spec["spoken"] < len(spec["lines"])


@pytest.mark.parametrize(
    ("seconds", "gap_s", "broken"), [(1, 30, False), (1, 31, True), (60, 180, False), (60, 181, True)]
)
def test_chart__nothing_asked_for_a_while__the_line_is_broken(seconds, gap_s, broken):
    points = [replace(POINT, seconds=seconds, start=NOW + timedelta(seconds=start)) for start in (0, gap_s)]
    [trace] = chart("rate", points).figure["data"]

    assert (None in trace["y"]) == broken
    assert len(trace["x"]) == len(trace["y"])
