"""The share of requests at which the version fails, against the stable version's."""

from deployments.rollout.guardrails.guardrail_kind import CountedKind, type_Row
from deployments.rollout.strategies.fields import number, only_keys
from monitoring.analysis.judge import Guardrail
from monitoring.arm_sums import ArmSum

ERROR_RATE = "error_rate"


class ErrorRate(CountedKind):
    """`margin` is a share: by how much the candidate's may be above the stable version's."""

    metric = ERROR_RATE

    def read(self, row: type_Row, where: str) -> type_Row:
        """The guardrail. Raises Invalid."""
        only_keys(row, {"metric", "margin"}, where)
        return {"metric": ERROR_RATE, "margin": number(row, "margin", where, above=0, below=1)}

    def sentence(self, guardrail: type_Row) -> str:
        """The guardrail as people read it."""
        return f"share of errors at most {guardrail['margin'] * 100:g} percentage points above the stable version's"

    def label(self, guardrail: type_Row) -> str:
        """What is looked at, in words."""
        return "Error share"

    def measured(self, guardrail: type_Row, counted: ArmSum) -> float | None:
        """The share of errors over a span."""
        return counted.errors / counted.requests if counted.requests else None

    def counted(self, guardrail: type_Row) -> Guardrail:
        """The guardrail as the judge takes it."""
        return Guardrail("error_rate", float(guardrail["margin"]))
