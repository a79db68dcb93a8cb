"""One assessment of all guardrails of a release: those that are counted and those that are looked at."""

from dataclasses import replace

from deployments.rollout.guardrails import guardrail_kinds as kinds
from deployments.rollout.guardrails.guardrail_kind import GuardrailLook
from monitoring.analysis.guardrail_result import GuardrailResult
from monitoring.analysis.judge import Assessment, JudgeState, assess
from monitoring.analysis.verdicts import Verdict, worst_of


def assess_all(state: JudgeState, look: GuardrailLook) -> Assessment:
    """What all guardrails of the release say now. `look.alpha` is shared by all of them in equal parts."""
    looked = kinds.looked_at(look.release.guardrails)
    part = look.alpha / max(len(look.release.guardrails), 1)
    results = [kind.looked_at(row, replace(look, alpha=part)) for kind, row in looked]
    counted_alpha = look.alpha - part * len(looked)
    counted = assess(state, alpha=counted_alpha, bake_done=look.bake_done) if state.guardrails else None
    if counted is None or results:
        return _together(counted, results, bake_done=look.bake_done)
    return counted


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
