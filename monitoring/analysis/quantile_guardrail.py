"""The verdict on a quantile of the latency: its numbers, what it rests on, and one plain sentence."""

import math
from dataclasses import dataclass, replace

from monitoring.analysis.guardrail_result import Ground, GuardrailResult, Unit
from monitoring.analysis.judge import GUARDRAILS_ALPHA, INTERVALS_ALPHA, LOG_E_MAX
from monitoring.analysis.latency_tally import LatencyTally
from monitoring.analysis.quantile_evidence import QuantileEvidence
from monitoring.analysis.quantities import said, said_difference
from monitoring.analysis.tally import BASELINE_MIN_REQUESTS
from monitoring.analysis.verdicts import Verdict

WORTH_LESS = 0.9  # of their number; what requests are worth is said below that


@dataclass(frozen=True)
class QuantileLimit:
    """By how much the candidate's quantile may be above the stable arm's: `margin_ms` milliseconds, or the share
    `margin_ratio` of the stable arm's as it is measured so far.
    """

    metric: str
    label: str
    margin_ms: float | None = None
    margin_ratio: float | None = None

    def margin(self, baseline_ms: float | None) -> float:
        """The margin in ms; 0 while a relative one has nothing to refer to."""
        if self.margin_ms is not None:
            return self.margin_ms
        return (self.margin_ratio or 0.0) * (baseline_ms or 0.0)


def assess_quantile(
    tally: LatencyTally, limit: QuantileLimit, alpha: float, effects: tuple[float, float] = (1.0, 1.0)
) -> GuardrailResult:
    """What the latencies say. `effects` are the largest design effects known of each arm from other guardrails.

    α is shared as in `judge`: 0.8 of it for the evidence that the candidate's quantile is larger, 0.1 for the lower
    end of the interval; the upper end, which has to be below the margin to be healthy, has its own α. The evidence is
    believed where the stable arm answered at the same time.
    """
    candidate, baseline = tally.arms(*effects)
    value_c, value_b = candidate.quantile(tally.quantile), baseline.quantile(tally.quantile)
    threshold = 1 / (GUARDRAILS_ALPHA * alpha)
    result = GuardrailResult(
        metric=limit.metric,
        label=limit.label,
        margin=limit.margin(value_b),
        unit=Unit.MS,
        candidate_n=candidate.total,
        baseline_n=baseline.total,
        candidate_value=value_c,
        baseline_value=value_b,
        threshold=threshold,
        effective_n=candidate.total / candidate.effect,
        effective_baseline_n=baseline.total / baseline.effect,
        left_out_s=tally.left_out_s,
    )
    if value_c is None or value_b is None:
        return _concluded(result, Verdict.NO_DATA)
    result = replace(result, difference=value_c - value_b)
    if not tally.tally.is_steady or baseline.total < BASELINE_MIN_REQUESTS:
        return _concluded(result, Verdict.INCONCLUSIVE)
    evidence = QuantileEvidence(candidate, baseline, tally.quantile)
    low, high = evidence.interval_ms(INTERVALS_ALPHA * alpha, alpha)
    log_e = evidence.log_e_larger() if _is_concurrent(tally) else 0.0
    e_value = math.exp(min(log_e, LOG_E_MAX))
    is_worse = e_value >= threshold and value_c > value_b
    low = max(low or 0.0, 0.0) if is_worse else low
    result = replace(result, e_value=e_value, is_worse=is_worse, interval_low=low, interval_high=high)
    return _concluded(result, *_verdict(result))


def _is_concurrent(tally: LatencyTally) -> bool:
    both = tally.tally.time.compared
    return both.baseline_n >= BASELINE_MIN_REQUESTS and 2 * both.candidate_n >= tally.tally.candidate_n


def _verdict(result: GuardrailResult) -> tuple[Verdict, Ground]:
    if result.is_worse and result.difference is not None and result.difference > result.margin:
        return Verdict.HARMFUL, Ground.EVIDENCE
    if result.interval_low is not None and result.interval_low > result.margin:
        return Verdict.HARMFUL, Ground.INTERVAL
    if result.interval_high is not None and result.interval_high < result.margin:
        return Verdict.HEALTHY, Ground.NONE
    return Verdict.INCONCLUSIVE, Ground.NONE


def _concluded(result: GuardrailResult, verdict: Verdict, ground: Ground = Ground.NONE) -> GuardrailResult:
    concluded = replace(result, verdict=verdict, ground=ground)
    return replace(concluded, sentence=_sentence(concluded))


def _sentence(result: GuardrailResult) -> str:
    if result.candidate_value is None:
        return f"{result.label}: the candidate has answered no request yet."
    if result.baseline_value is None:
        return f"{result.label}: the stable arm has answered no request yet, so there is nothing to compare with."
    compared = (
        f"{result.label} {said(result.candidate_value, Unit.MS)} of {result.candidate_n:,} requests; stable "
        f"{said(result.baseline_value, Unit.MS)} of {result.baseline_n:,}{_worth(result)}"
    )
    left_out = f" Its first {result.left_out_s} s are left out: it was warming up." if result.left_out_s else ""
    if result.e_value is None:
        return f"{compared}; too few seconds were seen to say how sure that is.{left_out}"
    return f"{compared}: {_interval(result)}{_conclusion(result)}{left_out}"


def _worth(result: GuardrailResult) -> str:
    if result.effective_n >= WORTH_LESS * result.candidate_n:
        return ""
    return f"; {result.candidate_n:,} requests worth about {max(result.effective_n, 1):,.0f} independent ones"


def _interval(result: GuardrailResult) -> str:
    low = "above 0" if result.is_worse and result.interval_low == 0 else said_difference(result.interval_low, Unit.MS)
    low = "no lower bound yet" if result.interval_low is None else low
    high = "no upper bound yet" if result.interval_high is None else said_difference(result.interval_high, Unit.MS)
    return f"difference {said_difference(result.difference, Unit.MS)}, interval {low} to {high}"


def _conclusion(result: GuardrailResult) -> str:
    margin = f"the margin of {said(result.margin, Unit.MS)}"
    if result.ground is Ground.EVIDENCE:
        odds = f"{min(result.e_value or 0, 1e6):,.0f} to 1 ({result.threshold or 0:,.0f} to 1 proves it)"
        return f"; slower by evidence of {odds}, and the difference is beyond {margin}."
    if result.ground is Ground.INTERVAL:
        return f"; wholly above {margin}."
    if result.verdict is Verdict.HEALTHY:
        return f", below {margin}."
    return f"; {margin} is not yet decided."
