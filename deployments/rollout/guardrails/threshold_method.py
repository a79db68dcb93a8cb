"""A fixed limit on the candidate's own value, measured again and again: what Argo Rollouts does."""

from typing import Any

from deployments import limits
from deployments.rollout.guardrails.guardrail_kind import GuardrailLook, type_Row
from deployments.rollout.guardrails.interval_method import CAUGHT_UP_MAX, IntervalMethod
from deployments.rollout.strategies.fields import number, whole_number
from monitoring.analysis.guardrail_result import Ground, GuardrailResult, Method, Unit
from monitoring.analysis.measurement_run import MeasurementRun, RunLimits, RunOutcome
from monitoring.analysis.quantities import said
from monitoring.analysis.verdicts import Verdict

COUNT_MAX = 1000
DELAY_S_MAX = 86_400
NO_BOUND = "How often this method takes back a version that is no worse has no bound."
# Key of the row → its field of the limits, the lowest and the highest it may be, and what it is unless said.
WHOLE = {
    "initial_delay_s": ("initial_delay_s", 0, DELAY_S_MAX, 0),
    "count": ("count", 0, COUNT_MAX, 0),
    "failure_limit": ("failure_limit", -1, COUNT_MAX, 0),
    "inconclusive_limit": ("inconclusive_limit", -1, COUNT_MAX, 0),
    "consecutive_error_limit": ("consecutive_error_limit", 0, COUNT_MAX, 4),
}


class ThresholdMethod(IntervalMethod):
    """`max` is the highest value that succeeds, `fail_above` from where it fails, in the kind's unit; the counts and
    limits are those of Argo Rollouts (`monitoring.analysis.measurement_run`).
    """

    keys = frozenset({"max", "fail_above", *WHOLE})

    def read(self, row: type_Row, where: str) -> type_Row:
        """The guardrail. Raises Invalid."""
        highest = 1.0 if self.unit is Unit.SHARE else limits.SLO_MS_MAX
        found = self.read_with_interval(row, where)
        found["max"] = number(row, "max", where, above=0, below=highest)
        if "fail_above" in row:
            found["fail_above"] = number(row, "fail_above", where, above=found["max"], below=highest)
        for key, (_, low, high, default) in WHOLE.items():
            found[key] = whole_number(row, key, where, low=low, high=high, default=default)
        return found

    def sentence(self, guardrail: type_Row) -> str:
        """The guardrail as people read it."""
        allowed = guardrail["failure_limit"]
        often = f"{allowed + 1} times" if allowed > 0 else "once"
        return (
            f"{self.label(guardrail).lower()} of the version itself at most {said(guardrail['max'], self.unit)}, "
            f"measured every {guardrail['interval_s']} s; failing {often} is harmful (fixed threshold)"
        )

    def looked_at(self, guardrail: type_Row, look: GuardrailLook) -> GuardrailResult:
        """What was measured so far, with the measurements that came due."""
        run_limits = _limits(guardrail)
        kept = look.kept.get("run")
        run = MeasurementRun.from_dict(kept) if kept else MeasurementRun.begun(look.since.timestamp(), run_limits)
        for _ in range(CAUGHT_UP_MAX):
            if run.ended is not RunOutcome.RUNNING or not self.due_before(look, run.due):
                break
            candidate, _ = self.sums(look, run.due, run_limits.interval_s)
            run = run.measured(self.value(guardrail, candidate), candidate.requests, run_limits)
        look.kept["run"] = run.to_dict()
        return self._result(guardrail, run, look)

    def _result(self, guardrail: type_Row, run: MeasurementRun, look: GuardrailLook) -> GuardrailResult:
        verdict = _verdict(run, guardrail["count"], bake_done=look.bake_done)
        is_share = self.unit is Unit.SHARE
        return GuardrailResult(
            metric=self.metric,
            label=self.label(guardrail),
            margin=guardrail["max"],
            slo_ms=guardrail.get("slo_ms"),
            unit=self.unit,
            method=Method.THRESHOLD,
            candidate_n=run.requests,
            candidate_share=run.value if is_share else None,
            candidate_value=None if is_share else run.value,
            effective_n=float(run.requests),
            verdict=verdict,
            ground=Ground.THRESHOLD if verdict is Verdict.HARMFUL else Ground.NONE,
            sentence=self._said(guardrail, run, verdict),
        )

    def _said(self, guardrail: type_Row, run: MeasurementRun, verdict: Verdict) -> str:
        label, most = self.label(guardrail), said(guardrail["max"], self.unit)
        if not run.counted and not run.errors:
            return f"{label}: nothing was measured yet; the first measurement is after {guardrail['interval_s']} s."
        if verdict is Verdict.NO_DATA:
            return f"{label}: {run.errors} measurements found no value, so nothing is known of the version."
        counted = f"{run.failed} of {run.counted} measurements failed, {run.inconclusive} said nothing"
        newest = f"the newest is {said(run.value, self.unit)}, the limit {most}"
        return f"{label}: {counted}; {newest}. {NO_BOUND}"


def _limits(guardrail: type_Row) -> RunLimits:
    fields: dict[str, Any] = {field: guardrail[key] for key, (field, *_) in WHOLE.items()}
    return RunLimits(guardrail["max"], guardrail.get("fail_above"), guardrail["interval_s"], **fields)


def _verdict(run: MeasurementRun, count: int, *, bake_done: bool) -> Verdict:
    """Failed is harmful and inconclusive waits for a person, as there. An error is no data, which never passes. A run
    without a count is over with the bake, when something was measured and the newest measurement was one.
    """
    if run.ended is RunOutcome.FAILED:
        return Verdict.HARMFUL
    if run.ended is RunOutcome.ERROR or (not run.counted and run.errors):
        return Verdict.NO_DATA
    is_over = not count and bake_done and run.counted > 0 and not run.errors_in_a_row
    return Verdict.HEALTHY if run.ended is RunOutcome.SUCCESSFUL or is_over else Verdict.INCONCLUSIVE
