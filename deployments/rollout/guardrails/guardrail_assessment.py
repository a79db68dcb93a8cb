"""One assessment of all guardrails of a release: those that are counted and those that are looked at."""

from dataclasses import replace
from typing import Any

from deployments.rollout.guardrails import guardrail_kinds as kinds
from deployments.rollout.guardrails.guardrail_kind import GuardrailLook
from monitoring.analysis.guardrail_result import GuardrailResult
from monitoring.analysis.judge import Assessment, JudgeState, assess
from monitoring.analysis.verdicts import Verdict, worst_of


def assess_all(state: JudgeState, look: GuardrailLook, kept: dict[str, Any]) -> Assessment:
    """What all guardrails of the release say now. `look.alpha` is shared in equal parts by those that have a bound on
    false rollbacks. `kept` is what those that are looked at keep, by their place in the release; it is written to.
    """
    guardrails = look.release.guardrails
    part = look.alpha / max(sum(kinds.is_sequential(row) for row in guardrails), 1)
    look = replace(look, alpha=part, effects=_effects(state))
    results = [
        kind.looked_at(row, replace(look, kept=kept.setdefault(str(place), {})))
        for place, kind, row in kinds.looked_at(guardrails)
    ]
    if not state.guardrails:
        return _together(None, results, bake_done=look.bake_done)
    counted = assess(state, alpha=part * len(kinds.counted(guardrails)), bake_done=look.bake_done)
    return _together(counted, results, bake_done=look.bake_done) if results else counted


def _effects(state: JudgeState) -> tuple[float, float]:
    effects = [tally.effect for tally in state.tallies.values()]
    return max((one.candidate for one in effects), default=1.0), max((one.baseline for one in effects), default=1.0)


def _together(counted: Assessment | None, looked: list[GuardrailResult], *, bake_done: bool) -> Assessment:
    """Harmful when any guardrail is, healthy when all are and the bake is over; no data is never a pass."""
    results = [*(counted.guardrails if counted else []), *looked]
    verdict = worst_of(result.verdict for result in results)
    sentence = next((result.sentence for result in results if result.verdict is verdict), "")
    if verdict is Verdict.HEALTHY and not bake_done:
        verdict = Verdict.INCONCLUSIVE
        sentence = f"Healthy so far on {results[0].candidate_n:,} requests; the step is not over."
    elif verdict is Verdict.HEALTHY:
        sentence = "Every guardrail is inside its margin. " + " ".join(result.sentence for result in results[:2])
    return Assessment(verdict, sentence, results)
