"""Evidence from outcomes: bounds, directions, missing ones, and by simulation how often it errs."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.analysis.outcome_evidence import (
    ArmValues,
    ValueScale,
    ValueSums,
    binary_evidence,
    is_reported_unlike,
    mean_interval,
    number_evidence,
    value_design_effect,
)

ALPHA = 0.05


def sums_of(values: list[float]) -> ValueSums:
    return ValueSums(len(values), sum(values), sum(value * value for value in values))


def arm_of(rows: list[tuple[int, int, float]]) -> ArmValues:
    """An arm with outcomes of (block, unit bucket, value)."""
    blocks: dict[int, list[float]] = {}
    buckets: dict[tuple[int, int], list[float]] = {}
    for block, bucket, value in rows:
        blocks.setdefault(block, []).append(value)
        buckets.setdefault((block, bucket), []).append(value)
    return ArmValues(
        {block: sums_of(values) for block, values in blocks.items()},
        {place: sums_of(values) for place, values in buckets.items()},
    )


def traffic(draw: random.Random, blocks: int, rate: int, value: Callable[[], float]) -> list[tuple[int, int, float]]:
    return [(block, draw.randrange(64), value()) for block in range(blocks) for _ in range(rate)]


@pytest.mark.parametrize(("larger_is", "expected"), [("worse", (0.0, 1.0)), ("better", (1.0, 0.0))])
def test_worse__bounds_of_the_scale__are_best_and_worst(larger_is, expected):
    scale = ValueScale(-2.0, 6.0, larger_is)

    assert tuple(scale.worse(sums_of([value])).total for value in (-2.0, 6.0)) == expected


@given(st.lists(st.floats(-2, 6), min_size=1, max_size=20), st.sampled_from(["better", "worse"]))
def test_worse__sums__are_those_of_the_scaled_values(values, larger_is):
    scaled = [(value + 2) / 8 if larger_is == "worse" else (6 - value) / 8 for value in values]
    found, expected = ValueScale(-2.0, 6.0, larger_is).worse(sums_of(values)), sums_of(scaled)

    assert found.total == pytest.approx(expected.total, abs=1e-9)
    assert found.squares == pytest.approx(expected.squares, abs=1e-9)


def test_mean_interval__nothing_seen__is_everything():
    assert (mean_interval({}, 1.0, ALPHA).low, mean_interval({}, 1.0, ALPHA).high) == (0.0, 1.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_mean_interval__any_values__lies_in_the_bounds_around_the_weighted_mean(values):
    found = mean_interval({block: sums_of([value]) for block, value in enumerate(values)}, 1.0, ALPHA)

    assert 0 <= found.low <= found.high <= 1


def test_design_effect__one_value_per_unit_repeated__is_about_the_repetitions():
    draw = random.Random(3)
    owners = [draw.random() for _ in range(64)]
    rows = [(block, unit, owners[unit]) for block in range(20) for unit in range(64)]

    assert value_design_effect(arm_of(rows)) == pytest.approx(20, rel=0.15)


def test_design_effect__equal_values__is_one():
    assert value_design_effect(arm_of([(block, 1, 0.5) for block in range(20)])) == 1.0


def test_evidence__one_arm_is_empty__has_no_difference():
    full, empty = arm_of([(block, 1, 1.0) for block in range(20)]), ArmValues({}, {})

    for evidence in (binary_evidence(full, empty, ALPHA), number_evidence(empty, full, ALPHA)):
        assert evidence.difference is None
        assert evidence.interval.low <= 0 <= evidence.interval.high


@pytest.mark.parametrize(("share", "unlike"), [(0.5, False), (0.25, True)])
def test_reported_unlike__candidate_reports_half_as_often__is_told(share, unlike):
    draw = random.Random(5)
    strata = [
        ((sum(draw.random() < share for _ in range(10)), 10), (sum(draw.random() < 0.5 for _ in range(40)), 40))
        for _ in range(60)
    ]

    assert is_reported_unlike(strata) is unlike


def test_reported_unlike__candidate_is_younger_and_outcomes_are_late__is_not_told():
    strata = [
        ((round(weight * late), weight), (round((100 - weight) * late), 100 - weight))
        for weight, late in [(10, 0.9)] * 50 + [(50, 0.1)] * 50
    ]

    assert not is_reported_unlike(strata)


def _ever_proven(draw: random.Random, value_c: Callable[[], float], value_b: Callable[[], float], binary: bool) -> int:
    """The block at which the candidate is proven worse, 0 when it never is: ten looks over 200 blocks, the candidate
    at a quarter of the traffic.
    """
    rows_c, rows_b = traffic(draw, 200, 3, value_c), traffic(draw, 200, 9, value_b)
    for block in range(20, 201, 20):
        arms = [arm_of([row for row in rows if row[0] < block]) for rows in (rows_c, rows_b)]
        found = binary_evidence(*arms, ALPHA) if binary else number_evidence(*arms, ALPHA)
        if found.is_steady and (found.interval.low > 0 or (found.log_e or 0) > 3.2):
            return block
    return 0


@pytest.mark.slow
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "numbers"])
def test_evidence__identical_arms__is_wrong_in_fewer_than_alpha(binary):
    draw = random.Random(7)
    value = (lambda: float(draw.random() < 0.1)) if binary else (lambda: draw.betavariate(2, 6))

    assert sum(_ever_proven(draw, value, value, binary) > 0 for _ in range(40)) <= 2


@pytest.mark.slow
def test_evidence__a_candidate_that_is_much_worse__is_found_by_both_kinds():
    draw = random.Random(11)
    cases = [
        (True, lambda: float(draw.random() < 0.3), lambda: float(draw.random() < 0.1)),
        (False, lambda: draw.betavariate(4, 5), lambda: draw.betavariate(2, 6)),
    ]
    for binary, worse, plain in cases:
        found = [_ever_proven(draw, worse, plain, binary) for _ in range(8)]
        assert min(found) > 0, (binary, found)
