"""The share of requests that are slower than an objective, against the stable version's."""

from deployments import limits
from deployments.rollout.guardrails.guardrail_kind import CountedKind, type_Row
from deployments.rollout.strategies.fields import number, only_keys
from monitoring.analysis.judge import Guardrail, slo_key
from monitoring.arm_sums import ArmSum

LATENCY_OVER_SLO = "latency_over_slo"


class LatencyOverSlo(CountedKind):
    """`slo_ms` is the objective in milliseconds; `margin` a share, as of errors."""

    metric = LATENCY_OVER_SLO

    def read(self, row: type_Row, where: str) -> type_Row:
        """The guardrail. Raises Invalid."""
        only_keys(row, {"metric", "margin", "slo_ms"}, where)
        return {**self.subject(row, where), "margin": number(row, "margin", where, above=0, below=1)}

    def subject(self, row: type_Row, where: str) -> type_Row:
        """The objective. Raises Invalid."""
        return {
            "metric": LATENCY_OVER_SLO,
            "slo_ms": number(row, "slo_ms", where, above=0, below=limits.SLO_MS_MAX),
        }

    def sentence(self, guardrail: type_Row) -> str:
        """The guardrail as people read it."""
        return (
            f"share of requests slower than {guardrail['slo_ms']:g} ms at most {guardrail['margin'] * 100:g} "
            "percentage points above the stable version's"
        )

    def label(self, guardrail: type_Row) -> str:
        """What is looked at, in words."""
        return f"Share slower than {slo_key(guardrail['slo_ms'])} ms"

    def same(self, one: type_Row, other: type_Row) -> bool:
        """Two that name different objectives watch different things."""
        return super().same(one, other) and one["slo_ms"] == other["slo_ms"]

    def measured(self, guardrail: type_Row, counted: ArmSum) -> float | None:
        """The share of slow requests over a span."""
        total = counted.latency.count
        return counted.latency.count_over(guardrail["slo_ms"]) / total if total else None

    def counted(self, guardrail: type_Row) -> Guardrail:
        """The guardrail as the judge takes it."""
        return Guardrail("latency_over_slo", float(guardrail["margin"]), float(guardrail["slo_ms"]))
