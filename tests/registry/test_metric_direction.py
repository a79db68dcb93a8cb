"""Which way a metric is better, by its name: what is not known is not called better."""

from types import SimpleNamespace
from typing import Any

import pytest

from registry.metric_direction import Direction, direction_of
from registry.version_comparison import Judgement, compare_versions


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("accuracy", "higher"),
        ("training_accuracy_score", "higher"),
        ("testRocAuc", "higher"),
        ("f1_macro", "higher"),
        ("r2", "higher"),
        ("val_log_loss", "lower"),
        ("mean_absolute_error", "lower"),
        ("brier_score_loss", "lower"),
        ("davies_bouldin_score", "lower"),
        ("neg_mean_squared_error", "higher"),
        ("negative_log_likelihood", "lower"),
        ("p95_latency_ms", "lower"),
        ("false_positive_rate", ""),
        ("auc_loss_ratio", ""),  # words that disagree
        ("epoch", ""),
        ("map", "higher"),
        ("mapping_size", ""),
        ("", ""),
    ],
)
def test_direction__name__by_its_words(name: str, direction: str) -> None:
    assert direction_of(name) == Direction(direction)


def judged(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Judgement]:
    old, new = (
        SimpleNamespace(evidence={"metrics": metrics}, signature=None, digest="") for metrics in (before, after)
    )
    return {row.name: row.judgement for row in compare_versions(old, new).metrics}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "before", "after", "judgement"),
    [
        ("recall", 0.8, 0.9, Judgement.BETTER),
        ("recall", 0.9, 0.8, Judgement.WORSE),
        ("loss", 0.9, 0.8, Judgement.BETTER),
        ("epoch", 3, 4, Judgement.CHANGED),
        ("recall", 0.8, 0.8, Judgement.NONE),
        ("recall", 0.8, None, Judgement.MISSING),
        ("recall", 0.8, float("nan"), Judgement.MISSING),
        ("recall", None, 0.8, Judgement.NONE),
        ("recall", "NaN", 0.8, Judgement.NONE),
    ],
)
def test_metric__of_two_versions__is_judged(name: str, before: Any, after: Any, judgement: Judgement) -> None:
    first = {} if before is None else {name: before}
    second = {} if after is None else {name: after}

    assert judged(first, second) == {name: judgement}
