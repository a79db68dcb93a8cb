"""Quantiles of the latency: the candidate's P50, P95 or P99 against the stable version's of the same time."""

from deployments import limits
from deployments.rollout.guardrails.guardrail_kind import GuardrailLook, LookedAtKind, type_Row
from deployments.rollout.strategies.fields import number, only_keys
from mlorch_site.lib.errors import Invalid
from monitoring.analysis.guardrail_result import GuardrailResult, Unit
from monitoring.analysis.latency_tally import LatencyTally
from monitoring.analysis.quantile_guardrail import QuantileLimit, assess_quantile
from monitoring.arm_sums import ArmSum

MARGIN_RATIO_MAX = 10.0


class LatencyQuantile(LookedAtKind):
    """`margin_ms` is in milliseconds; `margin_ratio` instead is a share of the stable version's quantile."""

    unit = Unit.MS

    def __init__(self, percent: int) -> None:
        self.metric = f"latency_p{percent}"
        self._name, self._quantile = f"P{percent}", percent / 100

    def read(self, row: type_Row, where: str) -> type_Row:
        """The guardrail. Raises Invalid."""
        only_keys(row, {"metric", "margin_ms", "margin_ratio"}, where)
        if ("margin_ms" in row) == ("margin_ratio" in row):
            said = "either margin_ms or margin_ratio"
            raise Invalid(f"{where} must have {said}.", details={f"{where}.margin_ms": said})
        if "margin_ms" in row:
            margin = {"margin_ms": number(row, "margin_ms", where, above=0, below=limits.SLO_MS_MAX)}
        else:
            margin = {"margin_ratio": number(row, "margin_ratio", where, above=0, below=MARGIN_RATIO_MAX)}
        return {"metric": self.metric, **margin}

    def sentence(self, guardrail: type_Row) -> str:
        """The guardrail as people read it."""
        if "margin_ms" in guardrail:
            margin = f"{guardrail['margin_ms']:g} ms"
        else:
            margin = f"{guardrail['margin_ratio'] * 100:g} %"
        return f"{self._name} of the latency at most {margin} above the stable version's"

    def label(self, guardrail: type_Row) -> str:
        """What is looked at, in words."""
        return f"{self._name} of the latency"

    def looked_at(self, guardrail: type_Row, look: GuardrailLook) -> GuardrailResult:
        """What the latencies counted so far say."""
        tally = LatencyTally.from_dict(look.kept["tally"]) if look.kept else LatencyTally(self._quantile)
        for block in look.blocks:
            tally = tally.folded(block)
        look.kept["tally"] = tally.to_dict()
        limit = QuantileLimit(
            self.metric, self.label(guardrail), guardrail.get("margin_ms"), guardrail.get("margin_ratio")
        )
        return assess_quantile(tally, limit, look.alpha, look.effects)

    def measured(self, guardrail: type_Row, counted: ArmSum) -> float | None:
        """The quantile over a span, in ms."""
        return counted.latency.quantile(self._quantile)
