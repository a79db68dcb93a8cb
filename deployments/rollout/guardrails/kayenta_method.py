"""Kayenta's Mann–Whitney test on the values of intervals of both arms."""

from statistics import fmean

from deployments.rollout.guardrails.guardrail_kind import GuardrailLook, type_Row
from deployments.rollout.guardrails.interval_method import CAUGHT_UP_MAX, IntervalMethod
from deployments.rollout.guardrails.threshold_method import NO_BOUND
from deployments.rollout.strategies.fields import number, whole_number
from monitoring.analysis.guardrail_result import Ground, GuardrailResult, Method, Unit
from monitoring.analysis.mann_whitney import CONFIDENCE, POINTS_MIN, TOLERANCE, LocationShift, shift_of
from monitoring.analysis.quantities import said, said_difference
from monitoring.analysis.verdicts import Verdict

POINTS_DEFAULT, POINTS_MAX = 50, 500  # at least 50 of each metric is what its documentation advises
INCREASE_MAX = 100.0


class KayentaMethod(IntervalMethod):
    """`min_points` intervals of both arms are needed to be healthy, `allowed_increase` is the ratio of the means from
    which on a shift counts.
    """

    keys = frozenset({"min_points", "allowed_increase"})

    def read(self, row: type_Row, where: str) -> type_Row:
        """The guardrail. Raises Invalid."""
        found = self.read_with_interval(row, where)
        found["min_points"] = whole_number(
            row, "min_points", where, low=POINTS_MIN, high=POINTS_MAX, default=POINTS_DEFAULT
        )
        ratio = {"allowed_increase": row.get("allowed_increase", 1.0)}
        found["allowed_increase"] = number(ratio, "allowed_increase", where, above=0, below=INCREASE_MAX)
        return found

    def sentence(self, guardrail: type_Row) -> str:
        """The guardrail as people read it."""
        return (
            f"{self.label(guardrail).lower()} not higher than the stable version's in intervals of "
            f"{guardrail['interval_s']} s, {guardrail['min_points']} of them (Kayenta's Mann–Whitney test)"
        )

    def looked_at(self, guardrail: type_Row, look: GuardrailLook) -> GuardrailResult:
        """What the intervals so far say. Intervals in which an arm has no value are left out, of both arms."""
        interval, kept = guardrail["interval_s"], look.kept
        due = kept.get("due", look.since.timestamp() + interval)
        points, empty = kept.setdefault("points", []), kept.setdefault("empty", 0)
        for _ in range(CAUGHT_UP_MAX):
            if len(points) >= POINTS_MAX or not self.due_before(look, due):
                break
            sums = self.sums(look, due, interval)
            found = [self.value(guardrail, counted) for counted in sums]
            if None in found:
                empty += 1
            else:
                points.append(found)
                kept["requests"] = [a + b.requests for a, b in zip(kept.get("requests", [0, 0]), sums, strict=True)]
            due += interval
        kept |= {"due": due, "empty": empty}
        shift = shift_of([one for one, _ in points], [other for _, other in points], guardrail["allowed_increase"])
        return self._result(guardrail, points, shift, kept)

    def _result(
        self, guardrail: type_Row, points: list[list[float]], shift: LocationShift | None, kept: type_Row
    ) -> GuardrailResult:
        requests = kept.get("requests", [0, 0])
        means = [fmean(values) for values in zip(*points, strict=True)] if points else [None, None]
        shares, values = (means, [None, None]) if self.unit is Unit.SHARE else ([None, None], means)
        verdict = _verdict(shift, len(points), guardrail["min_points"])
        return GuardrailResult(
            metric=self.metric,
            label=self.label(guardrail),
            margin=TOLERANCE * abs(shift.estimate) if shift else 0.0,
            slo_ms=guardrail.get("slo_ms"),
            unit=self.unit,
            method=Method.KAYENTA,
            candidate_n=requests[0],
            baseline_n=requests[1],
            candidate_share=shares[0],
            baseline_share=shares[1],
            candidate_value=values[0],
            baseline_value=values[1],
            difference=shift.estimate if shift else None,
            interval_low=shift.low if shift else None,
            interval_high=shift.high if shift else None,
            effective_n=float(requests[0]),
            effective_baseline_n=float(requests[1]),
            verdict=verdict,
            ground=Ground.INTERVAL if verdict is Verdict.HARMFUL else Ground.NONE,
            sentence=self._said(guardrail, shift, len(points), kept["empty"]),
        )

    def _said(self, guardrail: type_Row, shift: LocationShift | None, points: int, empty: int) -> str:
        label, needed = self.label(guardrail), guardrail["min_points"]
        left_out = f" {empty} intervals without a value of both arms are left out." if empty else ""
        if shift is None:
            return f"{label}: no interval has a value of both arms yet.{left_out}"
        interval = f"{said_difference(shift.low, self.unit)} to {said_difference(shift.high, self.unit)}"
        found = "higher" if shift.is_higher else "not found higher"
        text = (
            f"{label} is {found}: shift {said_difference(shift.estimate, self.unit)}, {CONFIDENCE * 100:g} % interval "
            f"{interval} from {points} intervals; the tolerance is {said(TOLERANCE * abs(shift.estimate), self.unit)}"
        )
        doubt = f" No verdict: {shift.doubt}." if shift.doubt else ""
        few = f" {needed} intervals are wanted before that is healthy." if points < needed and not doubt else ""
        return f"{text}.{doubt}{few}{left_out} {NO_BOUND}"


def _verdict(shift: LocationShift | None, points: int, needed: int) -> Verdict:
    if shift is None:
        return Verdict.NO_DATA
    if shift.is_higher and points >= POINTS_MIN:
        return Verdict.HARMFUL
    return Verdict.INCONCLUSIVE if shift.doubt or points < needed else Verdict.HEALTHY
