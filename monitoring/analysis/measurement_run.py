"""A run of measurements with limits on how many may fail: what Argo Rollouts calls the assessment of a metric.

After each measurement, in this order (argo-rollouts `analysis/analysis.go`, `assessMetricFailureInconclusiveOrError`),
each limit strictly exceeded, so that a failure limit of 3 ends with the fourth failure:

1. more failures than the failure limit: failed;
2. more inconclusive ones than their limit: inconclusive, even where 1 holds;
3. more errors in a row than their limit: error, even where 1 or 2 holds. An error (no value, NaN) is tried again
   `ERROR_RETRY_S` later, does not count towards the count, and any other measurement ends the row;
4. the count is reached: successful; without a count it goes on;
5. else running.

It compares one arm with a fixed number and looks again and again: how often it calls an equal version failed has no
bound. Argo promotes where all is terminated from outside; here nothing that has not ended is healthy before its bake is
over.
"""

import math
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

ERROR_RETRY_S = 10


class RunOutcome(StrEnum):
    """Of one measurement, and of a run."""

    RUNNING = "running"
    SUCCESSFUL = "successful"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


@dataclass(frozen=True)
class RunLimits:
    """A value up to `most` succeeds; above `fail_above` it fails (`most` unless given); between both it is
    inconclusive. `count` measurements end the run, 0 none; a limit of failures below 0 is none.
    """

    most: float
    fail_above: float | None = None
    interval_s: int = 60
    initial_delay_s: int = 0
    count: int = 0
    failure_limit: int = 0
    inconclusive_limit: int = 0
    consecutive_error_limit: int = 4

    def outcome(self, value: float | None) -> RunOutcome:
        """What one measured value is."""
        if value is None or math.isnan(value):
            return RunOutcome.ERROR
        if value > (self.most if self.fail_above is None else self.fail_above):
            return RunOutcome.FAILED
        return RunOutcome.SUCCESSFUL if value <= self.most else RunOutcome.INCONCLUSIVE


@dataclass(frozen=True)
class MeasurementRun:
    """What was measured so far. `due` is the Unix time of the next measurement, `ended` what the run ended with."""

    due: float
    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    errors: int = 0
    errors_in_a_row: int = 0
    value: float | None = None
    requests: int = 0
    ended: RunOutcome = RunOutcome.RUNNING

    @classmethod
    def begun(cls, at: float, limits: RunLimits) -> "MeasurementRun":
        """A run that begins at a Unix time: its first measurement is when one interval can be measured."""
        return cls(at + limits.initial_delay_s + limits.interval_s)

    def measured(self, value: float | None, requests: int, limits: RunLimits) -> "MeasurementRun":
        """The run after the measurement that was due."""
        if self.ended is not RunOutcome.RUNNING:
            return self
        outcome = limits.outcome(value)
        is_error = outcome is RunOutcome.ERROR
        after = replace(
            self,
            due=self.due + (ERROR_RETRY_S if is_error else limits.interval_s),
            successful=self.successful + (outcome is RunOutcome.SUCCESSFUL),
            failed=self.failed + (outcome is RunOutcome.FAILED),
            inconclusive=self.inconclusive + (outcome is RunOutcome.INCONCLUSIVE),
            errors=self.errors + is_error,
            errors_in_a_row=self.errors_in_a_row + 1 if is_error else 0,
            value=self.value if is_error else value,
            requests=self.requests + requests,
        )
        return replace(after, ended=after._assessed(limits))

    @property
    def counted(self) -> int:
        """The measurements that count: all but errors."""
        return self.successful + self.failed + self.inconclusive

    def _assessed(self, limits: RunLimits) -> RunOutcome:
        if self.errors_in_a_row > limits.consecutive_error_limit:
            return RunOutcome.ERROR
        if self.inconclusive > limits.inconclusive_limit >= 0:
            return RunOutcome.INCONCLUSIVE
        if self.failed > limits.failure_limit >= 0:
            return RunOutcome.FAILED
        return RunOutcome.SUCCESSFUL if limits.count and self.counted >= limits.count else RunOutcome.RUNNING

    def to_dict(self) -> dict[str, Any]:
        """The run as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "MeasurementRun":
        """The run that `to_dict` wrote."""
        return cls(**{**stored, "ended": RunOutcome(stored["ended"])})
