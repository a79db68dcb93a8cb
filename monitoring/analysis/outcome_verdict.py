"""What a guardrail on outcomes says: verdict, numbers and one sentence, from the evidence of both arms. Pure.

Everything is told as how much worse the candidate is: of an outcome whose larger side is the better one, as how much
less. A positive difference is the worse one, as of every guardrail.
"""

import math
from dataclasses import dataclass, replace

from monitoring.analysis.guardrail_result import Ground, GuardrailResult, Unit
from monitoring.analysis.judge import LOG_E_MAX
from monitoring.analysis.outcome_evidence import (
    HARM_INTERVAL_PART,
    ArmValues,
    Coverage,
    OutcomeEvidence,
    ValueScale,
    binary_evidence,
    number_evidence,
)
from monitoring.analysis.verdicts import Verdict


@dataclass(frozen=True)
class OutcomeTerms:
    """An outcome as it is judged: its name, whether it is yes or no, its bounds and worse side, its unit."""

    name: str
    is_binary: bool
    scale: ValueScale
    unit: str = ""

    @property
    def label(self) -> str:
        """What is compared, in words; more of it is worse."""
        if self.is_binary:
            return f"Share {'with' if self.scale.larger_is == 'worse' else 'without'} {self.name}"
        way = "more" if self.scale.larger_is == "worse" else "less"
        return f"How much {way} {self.name}{f' ({self.unit})' if self.unit else ''}"

    @property
    def width(self) -> float:
        return 1.0 if self.is_binary else self.scale.high - self.scale.low


@dataclass(frozen=True)
class OutcomeCase:
    """What is judged: both arms as they were reported, how many of their requests have an outcome, and whether that is
    unlike in a way that is no chance.
    """

    candidate: ArmValues
    baseline: ArmValues
    coverage: tuple[Coverage, Coverage]
    is_unlike: bool


def outcome_verdict(
    metric: str, terms: OutcomeTerms, margin: float, case: OutcomeCase, alpha: float
) -> GuardrailResult:
    """What the outcomes say at the level `alpha`; `margin` is a share, or in the unit of the number."""
    scale = terms.scale
    judge = binary_evidence if terms.is_binary else number_evidence
    found = judge(scale.arm(case.candidate), scale.arm(case.baseline), alpha)
    empty = GuardrailResult(metric, terms.label, margin, unit=Unit.SHARE if terms.is_binary else Unit.NUMBER)
    result = _numbers(empty, terms, case, found, alpha)
    verdict, ground = _verdict_of(result, found, case)
    result = replace(result, verdict=verdict, ground=ground)
    return replace(result, sentence=_sentence(result, terms, case))


def _numbers(
    empty: GuardrailResult, terms: OutcomeTerms, case: OutcomeCase, found: OutcomeEvidence, alpha: float
) -> GuardrailResult:
    e_value = None if found.log_e is None else math.exp(min(found.log_e, LOG_E_MAX))
    threshold = None if found.log_e is None else 1 / ((1 - HARM_INTERVAL_PART) * alpha)
    difference = found.difference
    is_proven = e_value is not None and threshold is not None and e_value >= threshold
    is_worse = is_proven and difference is not None and difference > 0
    low = found.interval.low if found.is_steady else -1.0
    result = replace(
        empty,
        candidate_n=found.candidate.n,
        baseline_n=found.baseline.n,
        difference=None if difference is None else difference * terms.width,
        interval_low=(max(low, 0.0) if is_worse else low) * terms.width,
        interval_high=found.interval.high * terms.width,
        e_value=e_value,
        threshold=threshold,
        is_worse=is_worse,
        effective_n=found.worth[0],
        effective_baseline_n=found.worth[1],
    )
    if not terms.is_binary:
        candidate, baseline = case.candidate.total, case.baseline.total
        return replace(
            result,
            candidate_value=candidate.mean if candidate.n else None,
            baseline_value=baseline.mean if baseline.n else None,
        )
    return replace(
        result,
        candidate_k=round(found.candidate.total),
        baseline_k=round(found.baseline.total),
        candidate_share=found.candidate.mean if found.candidate.n else None,
        baseline_share=found.baseline.mean if found.baseline.n else None,
    )


def _verdict_of(result: GuardrailResult, found: OutcomeEvidence, case: OutcomeCase) -> tuple[Verdict, Ground]:
    if result.difference is None or result.interval_low is None or result.interval_high is None:
        return Verdict.NO_DATA, Ground.NONE
    if case.is_unlike:
        return Verdict.INCONCLUSIVE, Ground.NONE
    if result.is_worse and result.difference > result.margin:
        return Verdict.HARMFUL, Ground.EVIDENCE
    if result.interval_low > result.margin:
        return Verdict.HARMFUL, Ground.INTERVAL
    if found.is_steady and result.interval_high < result.margin:
        return Verdict.HEALTHY, Ground.NONE
    return Verdict.INCONCLUSIVE, Ground.NONE


def _sentence(result: GuardrailResult, terms: OutcomeTerms, case: OutcomeCase) -> str:
    if not result.candidate_n or not result.baseline_n:
        who = "candidate's" if not result.candidate_n else "stable version's"
        return f"{terms.label}: no outcome of the {who} requests has come yet. No data is no pass."
    worth = ""
    if result.effective_n < 0.9 * result.candidate_n:
        worth = f", worth about {max(result.effective_n, 1):,.0f} independent ones"
    difference, low, high = (
        _said(value, terms) for value in (result.difference, result.interval_low, result.interval_high)
    )
    if result.is_worse and result.interval_low == 0:
        low = "above 0"
    text = (
        f"{terms.label}: {_measured(result, terms, 'candidate')} of {result.candidate_n:,} outcomes{worth}; stable "
        f"{_measured(result, terms, 'baseline')} of {result.baseline_n:,}: {difference}, interval {low} to {high}"
    )
    return f"{text}{_conclusion(result, terms, case)} {_covered(case)}"


def _measured(result: GuardrailResult, terms: OutcomeTerms, arm: str) -> str:
    if terms.is_binary:
        return f"{getattr(result, f'{arm}_k'):,}"
    return f"on average {getattr(result, f'{arm}_value'):,.4g}"


def _said(value: float | None, terms: OutcomeTerms) -> str:
    if terms.is_binary:
        return f"{(value or 0) * 100:+.1f} points"
    return f"{value or 0:+,.4g}{f' {terms.unit}' if terms.unit else ''}"


def _conclusion(result: GuardrailResult, terms: OutcomeTerms, case: OutcomeCase) -> str:
    margin = f"the margin of {_said(result.margin, terms).lstrip('+')}"
    if case.is_unlike:
        return (
            ". The arms' requests have an outcome so unlike often that it is no chance: the missing ones may be the "
            "bad ones, so nothing is concluded."
        )
    if result.ground is Ground.EVIDENCE:
        return f"; worse by evidence of {result.e_value or 0:,.0f} to 1, and beyond {margin}."
    if result.ground is Ground.INTERVAL:
        return f"; wholly above {margin}."
    if result.verdict is Verdict.HEALTHY:
        return f", below {margin}."
    return f"; {margin} is not yet decided."


def _covered(case: OutcomeCase) -> str:
    candidate, baseline = (part.share for part in case.coverage)
    if candidate is None or baseline is None:
        return "How many of the requests have an outcome is not known."
    return (
        f"{candidate * 100:.0f} % of the candidate's requests have one, {baseline * 100:.0f} % of the stable version's."
    )
