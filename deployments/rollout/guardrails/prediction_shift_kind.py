"""How far the new version's predictions lie from the stable version's at the same time."""

from dataclasses import replace

from deployments.rollout.guardrails.guardrail_kind import GuardrailLook, LookedAtKind, type_Row
from deployments.rollout.strategies.fields import number, only_keys
from monitoring.analysis.guardrail_result import Ground, GuardrailResult, Unit
from monitoring.analysis.verdicts import Verdict
from monitoring.drift.prediction_shift import Shift
from monitoring.drift_selectors import prediction_shift

PREDICTION_SHIFT = "prediction_shift"
LABEL = "prediction shift"


class PredictionShift(LookedAtKind):
    """`margin` is a distance from 0 to 1: how far the predictions may lie apart. It needs sampled requests.

    Interval and verdict hold at every look (monitoring/drift/prediction_shift.py); what cannot be compared is no data.
    """

    metric = PREDICTION_SHIFT

    def read(self, row: type_Row, where: str) -> type_Row:
        """The guardrail. Raises Invalid."""
        only_keys(row, {"metric", "margin"}, where)
        return {"metric": PREDICTION_SHIFT, "margin": number(row, "margin", where, above=0, below=1)}

    def sentence(self, guardrail: type_Row) -> str:
        """The guardrail as people read it."""
        return f"predictions at most {guardrail['margin']:g} (of 1) away from the stable version's"

    def label(self, guardrail: type_Row) -> str:
        """What is looked at, in words."""
        return LABEL

    def looked_at(self, guardrail: type_Row, look: GuardrailLook) -> GuardrailResult:
        """The column of predictions that moved most decides; healthy only when all are within the margin."""
        endpoint, margin = look.release.endpoint, float(guardrail["margin"])
        found = prediction_shift(
            endpoint.environment.name,
            endpoint.name,
            arms=((look.candidate_arm, str(look.release.pk)), (look.baseline_arm, "")),
            since=look.since,
            alpha=look.alpha,
        )
        base = GuardrailResult(PREDICTION_SHIFT, LABEL, margin, unit=Unit.NUMBER)
        if not found:
            said = "No sampled predictions of both arms can be compared yet."
            return replace(base, verdict=Verdict.NO_DATA, sentence=f"Prediction shift: {said}")
        name, moved = max(found, key=lambda one: (one[1].low > margin, one[1].high))
        verdict = _verdict(moved, margin)
        return replace(
            base,
            candidate_n=moved.candidate_n,
            baseline_n=moved.baseline_n,
            effective_n=float(moved.candidate_n),
            effective_baseline_n=float(moved.baseline_n),
            difference=moved.value,
            interval_low=moved.low,
            interval_high=moved.high,
            is_worse=verdict is Verdict.HARMFUL,
            verdict=verdict,
            ground=Ground.INTERVAL if verdict is Verdict.HARMFUL else Ground.NONE,
            sentence=_sentence(name, moved, margin, verdict),
        )


def _verdict(moved: Shift, margin: float) -> Verdict:
    if moved.low > margin:
        return Verdict.HARMFUL
    return Verdict.HEALTHY if moved.high < margin else Verdict.INCONCLUSIVE


def _sentence(name: str, moved: Shift, margin: float, verdict: Verdict) -> str:
    end = {
        Verdict.HARMFUL: f"wholly above the margin of {margin:g}.",
        Verdict.HEALTHY: f"below the margin of {margin:g}.",
    }.get(verdict, f"the margin of {margin:g} is not yet decided.")
    return (
        f"Prediction shift of {name}: {moved.value:.2f} between {moved.candidate_n:,} sampled requests and "
        f"{moved.baseline_n:,} of the stable version, interval {moved.low:.2f} to {moved.high:.2f}; {end}"
    )
