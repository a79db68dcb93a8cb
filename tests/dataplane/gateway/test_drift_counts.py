"""Values of sampled requests are counted by the site's plan: bounded, without hidden columns, once."""

import json

import pytest

from dataplane.gateway.site.drift_counts import DriftCounts
from dataplane.wire import columns
from dataplane.wire.columns import columns_of
from dataplane.wire.drift_report import DriftPlace, DriftPlan
from dataplane.wire.feature_counts import FeaturePlan, category_key
from tests.dataplane.gateway.test_request_log import entry

PLACE = DriftPlace("production", "e", "1")
AGE = FeaturePlan("age", "number", [30.0, 50.0], 18, 90)
SSN = FeaturePlan("ssn", "text", [5.0], 1, 9)
CLASS = FeaturePlan("prediction", "category", keys=[category_key("1")])
PLAN = DriftPlan(PLACE, "a.b", [AGE, SSN], [CLASS])
AT = 1790000000.25


def counting(plan: DriftPlan = PLAN) -> DriftCounts:
    counts = DriftCounts("b1")
    counts.add_all([entry()])
    asked = counts.report()
    assert asked is not None
    assert (asked.places, asked.windows) == ([PLACE], [])
    counts.sent(asked, [plan], AT)
    return counts


@pytest.mark.parametrize(
    ("body", "kind", "found"),
    [
        ({"dataframe_split": {"columns": ["a"], "data": [[1], [2]]}}, "json", {"a": [1, 2]}),
        ({"dataframe_records": [{"a": 1}, {"b": "x"}]}, "json", {"a": [1, None], "b": [None, "x"]}),
        ({"instances": [[1, "x"], [2, "y"]]}, "json", {"0": [1, 2], "1": ["x", "y"]}),
        ({"inputs": {"a": [1, 2], "b": 3}}, "json", {"a": [1, 2], "b": [3]}),
        ({"inputs": [{"name": "t", "shape": [2, 2], "data": [1, 2, 3, 4]}]}, "json", {"t[0]": [1, 3], "t[1]": [2, 4]}),
        ({"inputs": [{"name": "t", "shape": [2], "data": [1, 2]}]}, "json", {"t": [1, 2]}),
        ({"predictions": [0.5, 0.25]}, "json", {"prediction": [0.5, 0.25]}),
        ({"predictions": [[0.5, 0.25]]}, "json", {"prediction[0]": [0.5], "prediction[1]": [0.25]}),
        ({"outputs": [{"name": "y", "shape": [1], "data": ["no"]}]}, "json", {"y": ["no"]}),
        ("a,b\n1,x\n,y\n", "csv", {"a": [1.0, None], "b": ["x", "y"]}),
    ],
)
def test_columns__each_form__is_read(body, kind, found):
    if kind == "csv":
        assert columns_of(body.encode(), "text/csv") == found
    else:
        assert columns_of(json.dumps(body).encode(), "application/json; charset=utf-8") == found


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[1]",
        b"{}",
        b"[" * 100_000,
        b'{"inputs": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"instances": []}',
    ],
)
def test_columns__hostile_body__is_unread_or_bounded(body):
    try:
        found = columns_of(body, "application/json")
    except ValueError:
        return
    assert len(found) <= 1


def test_columns__ten_thousand__the_first_are_taken():
    body = json.dumps({"dataframe_records": [{f"c{place}": place for place in range(10_000)}] * 50}).encode()
    found = columns_of(body, "application/json")
    assert len(found) == columns.COLUMNS_MAX
    assert {len(values) for values in found.values()} == {columns.ROWS_MAX}


def test_counts__without_a_plan_nothing__with_one_by_its_bins__hidden_ones_not():
    counts = counting()
    counts.add_all([entry(), entry(outcome="server_errors"), entry(request=b"?"), entry(hidden=frozenset({"ssn"}))])
    report = counts.report()
    assert report is not None
    (window,) = report.windows
    assert (window.requests, window.answers, window.unread, window.plan) == (4, 3, 1, "a.b")
    assert window.inputs["age"].bins == [0, 3, 0]
    assert (window.inputs["ssn"].bins, window.inputs["ssn"].missing) == ([0, 2], 1)
    assert window.predictions["prediction"].bins == [3]


def test_counts__sent_and_more_comes__the_window_is_sent_again_as_a_whole():
    counts = counting()
    counts.add_all([entry()])
    first = counts.report()
    counts.add_all([entry()])  # while the report is on its way
    assert first is not None
    assert first.windows[0].requests == 1
    counts.sent(first, [PLAN], AT)
    second = counts.report()
    assert second is not None
    assert (second.sequence, second.windows[0].requests) == (3, 2)
    counts.sent(second, [PLAN], AT + 3600)
    assert counts.report() is None


def test_counts__site_away_for_long__the_oldest_windows_go_and_are_counted(monkeypatch):
    monkeypatch.setattr("dataplane.gateway.site.drift_counts.OPEN_WINDOWS_MAX", 2)
    counts = counting()
    counts.add_all([entry(at=AT + 60 * minute) for minute in range(5)])
    report = counts.report()
    assert report is not None
    assert (len(report.windows), report.dropped) == (2, 3)


def test_counts__plan_that_learns__first_values_are_sent_once_and_bounded(monkeypatch):
    monkeypatch.setattr("dataplane.gateway.site.drift_counts.LEARNED_VALUES_MAX", 3)
    counts = counting(DriftPlan(PLACE, ".", learns_inputs=True, learns_predictions=True))
    counts.add_all([entry(hidden=frozenset({"ssn"}))] * 5)
    report = counts.report()
    assert report is not None
    assert [(one.is_predictions, one.columns) for one in report.learned] == [
        (False, {"age": [31.0] * 3}),
        (True, {"prediction": [1.0] * 3}),
    ]
    counts.sent(report, [PLAN], AT)
    counts.add_all([entry()])
    again = counts.report()
    assert again is not None
    assert again.learned == []
