"""One assessment of all guardrails of a release: those that are counted and those that are looked at."""

from dataclasses import replace
from typing import Any

from deployments.rollout.guardrails import guardrail_kinds as kinds
from deployments.rollout.guardrails.error_rate import ERROR_RATE
from deployments.rollout.guardrails.guardrail_kind import GuardrailLook, type_Row
from deployments.rollout.guardrails.guardrail_options import OPTIONS
from monitoring.analysis.guardrail_result import GuardrailResult
from monitoring.analysis.judge import Assessment, JudgeState, assess, slo_key
from monitoring.analysis.verdicts import Verdict, worst_of


def assess_all(state: JudgeState, look: GuardrailLook, kept: dict[str, Any]) -> Assessment:
    """What all guardrails of the release say now. `look.alpha` is shared in equal parts by those that have a bound on
    false rollbacks. `kept` is what those that are looked at keep, by their place in the release; it is written to.
    """
    guardrails = look.release.guardrails
    part = look.alpha / max(sum(kinds.is_sequential(row) for row in guardrails), 1)
    look = replace(look, alpha=part, effects=_effects(state))
    looked = [
        _under_options(kind.looked_at(row, replace(look, kept=kept.setdefault(str(place), {}))), row)
        for place, kind, row in kinds.looked_at(guardrails)
    ]
    results = looked
    if state.guardrails:
        counted = assess(state, alpha=part * len(kinds.counted(guardrails)), bake_done=look.bake_done)
        if not looked and not any(OPTIONS & row.keys() for row in guardrails):
            return counted
        results = [*_counted_under_options(counted, guardrails), *looked]
    return _together(results, bake_done=look.bake_done)


def for_a_person(assessment: Assessment) -> str:
    """What is harmful without being critical, as a sentence: a person decides on it. Empty when nothing is."""
    found = (result for result in assessment.guardrails if result.verdict is Verdict.HARMFUL and not result.is_critical)
    return next((f"{result.sentence} This guardrail is not critical: a person decides." for result in found), "")


def _effects(state: JudgeState) -> tuple[float, float]:
    effects = [tally.effect for tally in state.tallies.values()]
    return max((one.candidate for one in effects), default=1.0), max((one.baseline for one in effects), default=1.0)


def _counted_under_options(counted: Assessment, guardrails: list[type_Row]) -> list[GuardrailResult]:
    """The check on client errors comes with the guardrail on errors, so it is as critical as that."""
    rows = {guardrail.key: row for row in guardrails for guardrail in kinds.counted([row])}
    of_errors = {name: row for name, row in rows.get(ERROR_RATE, {}).items() if name == "critical"}
    keys = [
        result.metric if result.slo_ms is None else f"{result.metric}:{slo_key(result.slo_ms)}"
        for result in counted.guardrails
    ]
    return [
        _under_options(result, rows.get(key, of_errors)) for key, result in zip(keys, counted.guardrails, strict=True)
    ]


def _under_options(result: GuardrailResult, row: type_Row) -> GuardrailResult:
    """The result under what its row says of how much depends on it."""
    at_least = row.get("min_effective", 0)
    result = replace(result, is_critical=row.get("critical", True), min_effective=at_least)
    if result.verdict is not Verdict.HEALTHY or result.effective_n >= at_least:
        return result
    missing = f"{at_least:,} independent requests are asked for, and these are worth about {result.effective_n:,.0f}."
    return replace(result, verdict=Verdict.INCONCLUSIVE, sentence=f"{result.sentence} Not yet healthy: {missing}")


def _together(results: list[GuardrailResult], *, bake_done: bool) -> Assessment:
    """Harmful when any critical guardrail is, healthy when all are and the bake is over; no data is never a pass.

    Harm of one that is not critical keeps the release from being healthy.
    """
    weights = [_weight(result) for result in results]
    verdict = worst_of(weights)
    deciding = [result for result, weight in zip(results, weights, strict=True) if weight is verdict]
    # Of what only waits, harm is said first.
    deciding.sort(key=lambda result: result.verdict is not Verdict.HARMFUL)
    sentence = deciding[0].sentence if deciding else "Nothing is judged."
    if verdict is Verdict.HEALTHY and not bake_done:
        verdict = Verdict.INCONCLUSIVE
        sentence = f"Healthy so far on {results[0].candidate_n:,} requests; the step is not over."
    elif verdict is Verdict.HEALTHY:
        sentence = "Every guardrail is inside its margin. " + " ".join(result.sentence for result in results[:2])
    return Assessment(verdict, sentence, results)


def _weight(result: GuardrailResult) -> Verdict:
    is_for_a_person = result.verdict is Verdict.HARMFUL and not result.is_critical
    return Verdict.INCONCLUSIVE if is_for_a_person else result.verdict
