"""What a kind of guardrail is: how it is read, said, and judged."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deployments.models import Release, Rollout
from monitoring.analysis.guardrail_result import GuardrailResult
from monitoring.analysis.judge import Guardrail

type_Row = dict[str, Any]


@dataclass(frozen=True)
class GuardrailLook:
    """What a guardrail is looked at with.

    `since` is when the candidate's first requests could count. `alpha` is this guardrail's part of the probability of
    a false rollback that the whole release may have. `bake_done` is a condition of healthy, not of harmful.
    """

    release: Release
    rollout: Rollout
    now: datetime
    bake_done: bool
    since: datetime
    candidate_arm: str
    baseline_arm: str
    alpha: float


class GuardrailKind(ABC):
    """A kind of guardrail. `metric` is what a row names it by; a family's is a prefix, with `matches` of its own."""

    metric: str

    def matches(self, metric: str) -> bool:
        """Whether a row with this metric is of the kind."""
        return metric == self.metric

    @abstractmethod
    def read(self, row: type_Row, where: str) -> type_Row:
        """The guardrail with numbers as floats. Raises Invalid, naming the field, for anything else than is known."""

    @abstractmethod
    def sentence(self, guardrail: type_Row) -> str:
        """The guardrail as people read it."""

    @abstractmethod
    def label(self, guardrail: type_Row) -> str:
        """What is looked at, in words."""

    def same(self, one: type_Row, other: type_Row) -> bool:
        """Whether two guardrails of the kind watch the same."""
        return bool(one["metric"] == other["metric"])


class CountedKind(GuardrailKind):
    """A kind that is judged by the tallies into which windows are folded."""

    @abstractmethod
    def counted(self, guardrail: type_Row) -> Guardrail:
        """The guardrail as the judge takes it."""


class LookedAtKind(GuardrailKind):
    """A kind that is read from rows at each look: cheap, a constant number of queries."""

    @abstractmethod
    def looked_at(self, guardrail: type_Row, look: GuardrailLook) -> GuardrailResult:
        """What the guardrail says now. Without data its verdict is no data: never a pass."""
