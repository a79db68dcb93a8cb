"""Lines about offline metrics: how they are read, and what they say at the edge."""

import pytest

from registry.metric_thresholds import held, line_problem, threshold_of


@pytest.mark.parametrize(
    "line",
    [
        "",
        "accuracy",
        "accuracy > 0.9",
        "accuracy >= high",
        "accuracy >= 0.9 or so",
        ">= 0.9",
        "accuracy not worse than",
        "accuracy not worse than -1",
        "accuracy >= nan",
        "accuracy >= 1e9999",
        "accuracy not worse than 1 %, better is better",
    ],
)
def test_line__that_is_none__says_how_to_write_one(line):
    assert "accuracy" in line_problem(line)


@pytest.mark.parametrize(
    ("line", "after", "before", "outcome"),
    [
        ("a b/c >= .5", {"a b/c": 0.5}, None, "pass"),
        ("loss not worse than 0.1", {"loss": 0.4}, {"loss": 0.3}, "pass"),  # 0.4 - 0.3 is a little more than 0.1
        ("loss not worse than 0.1", {"loss": 0.40001}, {"loss": 0.3}, "fail"),
        ("auc not worse than 10 %", {"auc": 0.81}, {"auc": 0.9}, "pass"),
        ("error_rate not worse than 10 %", {"error_rate": 0.01}, {"error_rate": 0.0}, "fail"),
        ("error_rate not worse than 10 %", {"error_rate": 0}, {"error_rate": 0.0}, "pass"),
        ("gain not worse than 1", {"gain": 5}, {"gain": 5}, "fail"),  # which way is better nobody says
        ("gain not worse than 1, higher is better", {"gain": 4}, {"gain": 5}, "pass"),
        ("gain not worse than 1, lower is better", {"gain": 7}, {"gain": 5}, "fail"),
        ("auc not worse than 1", {"auc": 0.9}, None, "skipped"),
        ("auc not worse than 1", {"auc": 0.9}, {}, "warn"),
        ("auc >= 0", {"auc": float("inf")}, None, "fail"),
        ("auc >= 0", {"auc": True}, None, "fail"),
        ("[a] >= 0", {"[a]": 1}, None, "pass"),
    ],
)
def test_held__by_the_line(line, after, before, outcome):
    assert [one.outcome.value for one in held(threshold_of(line), after, before)] == [outcome]


def test_slices__each_is_held_and_the_lost_ones_are_named():
    rows = held(threshold_of("auc_* >= 0.5"), {"auc_a": 0.6, "auc_b": 0.4, "x": 0}, {"auc_c": 1.0})
    assert [(one.metric, one.outcome.value) for one in rows] == [
        ("auc_a", "pass"),
        ("auc_b", "fail"),
        ("auc_c", "fail"),
    ]
