"""The methods of others, with their exact semantics, and what they get wrong is said and never passed."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from monitoring.analysis.mann_whitney import CONFIDENCE, shift_of
from monitoring.analysis.measurement_run import ERROR_RETRY_S, MeasurementRun, RunLimits, RunOutcome

OK, BAD, BETWEEN, NAN = 0.01, 0.5, 0.15, math.nan
LIMITS = RunLimits(0.1, fail_above=0.2, failure_limit=3, inconclusive_limit=1, consecutive_error_limit=4)


def run_of(values, limits=LIMITS):
    run = MeasurementRun.begun(1000, limits)
    for value in values:
        run = run.measured(value, 10, limits)
    return run


@pytest.mark.parametrize(
    ("values", "ended"),
    [
        ([BAD] * 3, RunOutcome.RUNNING),
        ([BAD] * 4, RunOutcome.FAILED),  # strictly more than the limit
        ([BAD, OK, BAD, OK, BAD, OK, BAD], RunOutcome.FAILED),  # they need not follow each other
        ([BETWEEN], RunOutcome.RUNNING),
        ([BETWEEN] * 2, RunOutcome.INCONCLUSIVE),
        ([NAN] * 4, RunOutcome.RUNNING),
        ([None] * 5, RunOutcome.ERROR),
        ([NAN] * 4 + [OK] + [NAN] * 4, RunOutcome.RUNNING),  # any other measurement ends the row
        ([OK] * 500, RunOutcome.RUNNING),  # an interval without a count goes on
    ],
)
def test_run__limits_of_argo__end_it_as_there(values, ended):
    assert run_of(values).ended is ended


def test_run__count_reached__is_successful_and_errors_do_not_count():
    limits = RunLimits(0.1, count=2)
    assert run_of([OK, NAN, None], limits).ended is RunOutcome.RUNNING
    assert run_of([OK, NAN, OK], limits).ended is RunOutcome.SUCCESSFUL


def test_run__failure_at_the_count__fails():
    assert run_of([OK, BAD], RunLimits(0.1, count=2)).ended is RunOutcome.FAILED


def test_run__negative_limit__is_none():
    assert run_of([BAD] * 50, RunLimits(0.1, failure_limit=-1)).ended is RunOutcome.RUNNING


def test_run__times__delay_then_intervals_and_errors_sooner():
    limits = RunLimits(0.1, interval_s=60, initial_delay_s=30)
    run = MeasurementRun.begun(1000, limits)
    assert run.due == 1090
    assert run.measured(OK, 1, limits).due == 1150
    assert run.measured(None, 0, limits).due == 1090 + ERROR_RETRY_S
    assert MeasurementRun.from_dict(run.to_dict()) == run


@settings(max_examples=25, deadline=None)
@given(st.integers(5, 40), st.integers(5, 40), st.floats(-2, 2), st.integers(0, 1000))
def test_shift__distinct_values__is_where_scipy_rejects_no_more(n, m, by, seed):
    rng = np.random.default_rng(seed)
    one, other = rng.normal(by, 1, n), rng.normal(0, 1, m)
    shift = shift_of(list(one), list(other))
    assert shift is not None
    differences = np.subtract.outer(one, other)
    # between the two middle differences the statistic is 0; bisection ends in one of them
    below, above = np.sort(differences.ravel())[[(n * m - 1) // 2, n * m // 2]]
    assert below - 1e-6 <= shift.estimate <= above + 1e-6
    assert differences.min() - 1e-6 <= shift.low <= shift.estimate <= shift.high <= differences.max() + 1e-6
    width = 1e-6 * (1 + abs(shift.low))
    if shift.low > differences.min() + 1e-3:
        p = stats.mannwhitneyu(one - shift.low + 2 * width, other, method="asymptotic").pvalue
        assert p <= 1 - CONFIDENCE + 0.02


def test_shift__ties_of_kayenta_6278__is_not_passed():
    shift = shift_of([100.0] * 7 + [1.0] * 3, [1.0] * 10)
    assert shift is not None
    assert (round(shift.low, 6), round(shift.high), round(shift.estimate)) == (0, 99, 99)
    assert not shift.is_higher  # which Kayenta passes
    assert "ties hide a shift" in shift.doubt


def test_shift__three_against_three__is_high_there_and_doubted_here():
    shift = shift_of([4.0, 5.0, 6.0], [1.0, 2.0, 3.0])
    assert shift is not None
    assert shift.is_higher
    assert "too few" in shift.doubt


@pytest.mark.parametrize(("one", "other"), [([], [1.0]), ([1.0], []), ([], [])])
def test_shift__no_data__is_no_shift(one, other):
    assert shift_of(one, other) is None


def test_shift__nan__is_refused():
    with pytest.raises(ValueError, match="NaN"):
        shift_of([math.nan], [1.0])


def test_shift__baseline_without_any__limit_on_the_ratio_is_not_applied():
    shift = shift_of([2.0 + place / 8 for place in range(10)], [-0.5, 0.5, -0.25, 0.25, -0.125, 0.125], 2.0)
    assert shift is not None
    assert (shift.is_higher, shift.ratio) == (True, None)
