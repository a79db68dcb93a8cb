"""Words about features: what has moved, what is chance, what is too few; false alarms of equal distributions."""

import math
import random

import pytest
from scipy.stats import binomtest

from dataplane.wire.feature_counts import counts_for
from monitoring.drift.feature_drift import LEVEL, DriftWord, feature_drift
from monitoring.drift.prediction_shift import band, shift
from monitoring.drift.reference_features import features_of

RUNS = 400


def word_of(reference: list, current: list, *, requests: int | None = None) -> tuple[DriftWord, str]:
    (feature,) = features_of({"x": reference})
    counted = counts_for(feature.plan, current)
    found = feature_drift(feature.plan, feature.counts, counted, requests=requests or len(current))
    return found.word, found.sentence


def test_numbers__moved_by_a_deviation__are_large_and_the_same_are_none():
    draw = random.Random(1)
    reference = [2024 + draw.gauss(0, 0.01) for _ in range(1000)]  # large numbers that differ little
    assert word_of(reference, [2024 + draw.gauss(0, 0.01) for _ in range(1000)])[0] is DriftWord.NONE
    assert word_of(reference, [2024.01 + draw.gauss(0, 0.01) for _ in range(1000)])[0] is DriftWord.LARGE


def test_few__requests_or_reference_rows__are_said():
    draw = random.Random(2)
    many = [draw.random() for _ in range(1000)]
    assert word_of(many[:5], many) == (DriftWord.TOO_FEW, "The reference has 5 rows: too few to say (at least 50).")
    assert word_of(many, many[:9]) == (DriftWord.TOO_FEW, "9 sampled requests: too few to say (at least 50).")
    assert word_of(many, many, requests=9)[0] is DriftWord.TOO_FEW  # rows of few requests are no more observations


def test_categories__one_that_the_reference_has_not__is_drift():
    word, _ = word_of(["a", "b"] * 300, ["a", "b", "c"] * 200)
    assert word is DriftWord.LARGE


def test_missing__half_of_the_values__is_drift():
    draw = random.Random(3)
    reference = [draw.random() for _ in range(500)]
    assert word_of(reference, [None if place % 2 else value for place, value in enumerate(reference)])[0] is (
        DriftWord.LARGE
    )


def test_hostile_values__of_every_type__are_counted_and_raise_nothing():
    (number,) = features_of({"x": list(range(100))})
    values = [math.nan, None, math.inf, 10**400, "1", [1], {"a": 1}, True, -5, 1e308]
    counts = counts_for(number.plan, values)
    assert (counts.missing, counts.wrong, counts.unseen, sum(counts.bins)) == (2, 6, 1, 2)
    (category,) = features_of({"x": ["a", "b", True] * 10})
    counts = counts_for(category.plan, [[1], {}, "a" * 10**6, True, "b", math.nan, 10**400])
    assert (counts.missing, counts.wrong, counts.unseen, sum(counts.bins)) == (1, 3, 1, 2)


def test_text__many_different__is_counted_by_length():
    (feature,) = features_of({"x": [f"patient {place}" * (place % 9 + 1) for place in range(200)]})
    assert feature.plan.kind == "text"
    assert feature.labels == ()
    assert sum(feature.counts.bins) == 200


@pytest.mark.slow
@pytest.mark.parametrize("draw_one", [random.Random.random, lambda draw: f"c{int(draw.expovariate(0.5))}"])
def test_equal_distributions__word_of_drift__is_as_rare_as_the_level(draw_one):
    """Reference and current from one distribution, at a size where chance is near the bound of a moderate drift."""
    draw = random.Random(4)
    wrong = 0
    for _ in range(RUNS):
        reference = [draw_one(draw) for _ in range(300)]
        wrong += word_of(reference, [draw_one(draw) for _ in range(200)])[0] in (DriftWord.MODERATE, DriftWord.LARGE)
    assert binomtest(wrong, RUNS, LEVEL, alternative="greater").pvalue > 0.001, wrong


def test_shift__looks_after_every_request__interval_never_excludes_the_truth_more_often_than_alpha():
    draw, alpha, wrong = random.Random(5), 0.1, 0
    for _ in range(100):
        counts = [[0] * 4, [0] * 4]
        for _ in range(200):
            for arm in counts:
                arm[draw.randrange(4)] += 1
            found = shift(*counts, is_ordered=True, alpha=alpha)
            assert found is not None
            if found.low > 0:
                wrong += 1
                break
    assert wrong <= 10


def test_shift__without_an_arm__is_none_and_a_move_of_all_is_found():
    assert shift([5, 0], [0, 0], is_ordered=False, alpha=0.05) is None
    found = shift([0, 200], [200, 0], is_ordered=False, alpha=0.05)
    assert found is not None
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low > 0.5
    assert band(10_000, 0.05) < 0.04
