"""Error budgets by numbers that can be worked out by hand."""

import pytest

from monitoring.alerts.error_budget import ErrorBudget, GoodBad
from monitoring.alerts.lifecycle import BudgetStatus


def test_budget__of_a_hundred_thousand_at_99_5__five_hundred_may_fail():
    budget = ErrorBudget(GoodBad(100_000, 125), 0.995)
    assert budget.total == pytest.approx(500)
    assert budget.left == pytest.approx(375)
    assert budget.spent_share == pytest.approx(0.25)
    assert (budget.good_share, budget.status) == (pytest.approx(0.99875), BudgetStatus.KEPT)


@pytest.mark.parametrize(
    ("requests", "bad", "status"),
    [
        (0, 0, BudgetStatus.NO_DATA),
        (1000, 5, BudgetStatus.KEPT),  # exactly what is allowed, though 1000 × (1 − 0.995) is a hair below 5
        (1000, 6, BudgetStatus.SPENT),
        (10, 10, BudgetStatus.SPENT),
    ],
)
def test_status__at_and_beside_the_target(requests, bad, status):
    assert ErrorBudget(GoodBad(requests, bad), 0.995).status is status


def test_burn_rate__without_requests__is_unknown_and_not_zero():
    assert GoodBad(0, 0).burn_rate(0.99) is None
    assert GoodBad(100, 0).burn_rate(0.99) == 0
    assert GoodBad(100, 2).burn_rate(0.99) == pytest.approx(2)
