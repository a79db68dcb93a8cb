"""What a kind of guardrail is: how it is read, said, and judged."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from deployments.models import Release, Rollout
from monitoring.analysis.guardrail_result import GuardrailResult, Unit
from monitoring.analysis.judge import Block, Guardrail
from monitoring.arm_sums import ArmSum

type_Row = dict[str, Any]


@dataclass(frozen=True)
class GuardrailLook:
    """What a guardrail is looked at with.

    `since` is when the candidate's first requests could count. `alpha` is this guardrail's part of the probability of
    a false rollback that the whole release may have. `bake_done` is a condition of healthy, not of harmful. `blocks`
    are what was counted since the last look, `effects` the largest design effects of each arm that the tallies know.
    What a guardrail puts into `kept` (JSON-able) is there again at its next look.
    """

    release: Release
    rollout: Rollout
    now: datetime
    bake_done: bool
    since: datetime
    candidate_arm: str
    baseline_arm: str
    alpha: float
    blocks: Sequence[Block] = ()
    effects: tuple[float, float] = (1.0, 1.0)
    kept: type_Row = field(default_factory=dict)


class GuardrailKind(ABC):
    """A kind of guardrail. `metric` is what a row names it by; a family's is a prefix, with `matches` of its own."""

    metric: str
    unit: Unit = Unit.SHARE

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

    def why_not_here(self, guardrail: type_Row, environment: str, endpoint: str) -> str:
        """Why it cannot be judged at an endpoint, empty when it can (may read the database)."""
        return ""

    def measure(self, guardrail: type_Row, environment: str, endpoint: str) -> type_Row:
        """What a guardrail of the user's own metric is read from, as it stands now (JSON-able; reads the database):
        frozen with the plan, so that the name cannot come to mean something else. Its `sentence` is shown to people.
        Empty for what mlorch counts itself.
        """
        return {}

    def same(self, one: type_Row, other: type_Row) -> bool:
        """Whether two guardrails of the kind watch the same."""
        return bool(one["metric"] == other["metric"])

    def subject(self, row: type_Row, where: str) -> type_Row:
        """What is looked at, without its limits. Raises Invalid."""
        return {"metric": row["metric"]}

    def measured(self, guardrail: type_Row, counted: ArmSum) -> float | None:
        """What the guardrail looks at, of one arm over a span, in the kind's unit; None when there is none.

        Raises NotImplementedError for a kind that is judged by mlorch's own method alone.
        """
        raise NotImplementedError

    @property
    def is_measured(self) -> bool:
        """Whether the other methods can judge it."""
        return type(self).measured is not GuardrailKind.measured


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
