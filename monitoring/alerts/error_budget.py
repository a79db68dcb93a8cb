"""Error budgets of objectives, after the Site Reliability Workbook (Beyer et al., 2018), chapters 2 and 5.

The budget is what may fail: (1 − target) of the requests. What fails of a span's requests, over what may, is its burn
rate: at 1 the budget is just used up when the objective's days are over.
"""

from dataclasses import dataclass

from monitoring.alerts.lifecycle import BudgetStatus


@dataclass(frozen=True)
class GoodBad:
    """The requests of a span that count for an objective, and how many of them were bad."""

    requests: int
    bad: int

    @property
    def bad_share(self) -> float | None:
        return self.bad / self.requests if self.requests else None

    def burn_rate(self, target_share: float) -> float | None:
        """How many times faster than allowed the budget is used up; None without requests."""
        return None if self.bad_share is None else self.bad_share / (1 - target_share)


@dataclass(frozen=True)
class ErrorBudget:
    """An objective's budget over its days, in requests; `target_share` is 0–1, below 1."""

    counts: GoodBad
    target_share: float

    @property
    def total(self) -> float:
        """How many requests may fail, of those that there were."""
        return self.counts.requests * (1 - self.target_share)

    @property
    def left(self) -> float:
        """How many more may fail; below 0 when it is spent."""
        return self.total - self.counts.bad

    @property
    def spent_share(self) -> float | None:
        """The share of the budget that is used up, above 1 when there were more; None without requests."""
        return self.counts.burn_rate(self.target_share)

    @property
    def good_share(self) -> float | None:
        share = self.counts.bad_share
        return None if share is None else 1 - share

    @property
    def status(self) -> BudgetStatus:
        share = self.good_share
        if share is None:
            return BudgetStatus.NO_DATA
        # Counted in whole requests, so that a share that is exactly the target is kept whatever its last bit is.
        is_kept = self.counts.bad <= self.total + 1e-9 * self.counts.requests
        return BudgetStatus.KEPT if is_kept else BudgetStatus.SPENT
