"""Fold what the gateways counted since the last look into the judge's state, and ask it for its word. Reads only."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from deployments.lifecycle import Arm, Phase
from deployments.models import Release, Rollout
from deployments.rollout.agreement import mirror_agreement, mirror_in_force
from deployments.rollout.snapshot import Judged
from deployments.rollout.split import Split, split_of
from deployments.rollout.steps import StepKind, has_baseline, steps_from_plan
from monitoring.analysis.guardrail_result import CLIENT_ERRORS, GuardrailResult
from monitoring.analysis.judge import (
    Assessment,
    Block,
    Guardrail,
    JudgeState,
    assess,
    fold,
    initial_state,
)
from monitoring.analysis.planning import candidate_requests_to_promote
from monitoring.analysis.verdicts import Verdict, worst_of
from monitoring.selectors import arm_counts_since

# When all traffic moves at once there is no concurrent stable arm; its last minutes before the move stand for it.
REFERENCE_SPAN = timedelta(minutes=10)
REFERENCE_SENTENCE = (
    f"The stable version gets no traffic any more: its last {REFERENCE_SPAN.seconds // 60} minutes "
    "before the switch stand for it."
)
COUNTING = (Phase.BAKING, Phase.JUDGING)
BAKE_IS_OVER = (Phase.JUDGING, Phase.HOLDING, Phase.PROMOTING)
# Of a guardrail's result, what history and the audit record keep with a decision.
EVIDENCE = (
    *("metric", "slo_ms", "margin", "verdict", "candidate_n", "candidate_k", "baseline_n", "baseline_k"),
    *("effective_n", "effective_baseline_n", "interval_low", "interval_high", "e_value", "threshold"),
)


@dataclass(frozen=True)
class Watch:
    """What was counted since the last look, and the judge's state with it. `judged` is None when nothing is judged."""

    judge: dict[str, Any]
    cursor: int
    step_candidate: int
    step_stable: int
    assessment: dict[str, Any]
    before: dict[str, Any]
    judged: Judged | None = None
    disagrees: str = ""
    unsettled: str = ""

    @property
    def old_verdict(self) -> str:
        return str(self.before.get("verdict", ""))

    @property
    def verdict(self) -> str:
        return str(self.assessment.get("verdict", ""))

    @property
    def split_off(self) -> str:
        """The sentence that says how the split is wrong, empty when it is not."""
        return _split_off(self.assessment)

    @property
    def was_split_off(self) -> bool:
        return bool(_split_off(self.before))

    @property
    def evidence(self) -> dict[str, Any]:
        """What a decision that is taken on this rests on: the verdict, its sentence, and the numbers."""
        results = self.assessment.get("guardrails", [])
        numbers = [{name: row[name] for name in EVIDENCE if name in row} for row in results]
        said = {name: self.assessment[name] for name in ("verdict", "sentence") if name in self.assessment}
        return said | ({"guardrails": numbers} if numbers else {})


def _split_off(assessment: dict[str, Any]) -> str:
    split = assessment.get("split") or {}
    return str(split["sentence"]) if split.get("is_off") else ""


def watch(release: Release, rollout: Rollout, now: datetime) -> Watch:
    """The counts and the verdict of a rollout now.

    Before the first weight is acknowledged nothing is looked at, and nothing any more once it is on its way back: what
    was known when it was decided is the evidence, on every page and in the report. On its way to all traffic it is
    looked at for harm alone.
    """
    before = rollout.assessment
    decided = _decided(rollout)
    if rollout.watched_at is None or Phase(rollout.phase) in (Phase.REVERTING, Phase.DONE):
        return Watch(rollout.judge, rollout.judge_cursor, 0, 0, before, before, decided)
    guardrails = guardrails_of(release)
    arm = Arm.SHADOW if mirror_in_force(release, rollout) else Arm.CANDIDATE
    blocks, cursor = _blocks(release, rollout, guardrails, arm)
    counts = Phase(rollout.phase) in COUNTING
    candidate = sum(block.candidate.requests for block in blocks) if counts else 0
    stable = sum(block.baseline.requests for block in blocks) if counts else 0
    split = split_of(release, rollout, now)
    agreement = mirror_agreement(release, rollout)
    shown: dict[str, Any] = {"split": split.to_dict()} if split else {}
    shown |= {"comparison": agreement} if agreement else {}
    disagrees, unsettled = _against(agreement) if arm is Arm.SHADOW else ("", "")
    if not guardrails or release.replaces_id is None:
        now_known = {**before, **shown}
        return Watch(rollout.judge, cursor, candidate, stable, now_known, before, None, disagrees, unsettled)
    state = JudgeState.from_dict(rollout.judge) if rollout.judge else initial_state(guardrails)
    for block in blocks:
        state = fold(state, block)
    assessment = assess(state, bake_done=Phase(rollout.phase) in BAKE_IS_OVER)
    if decided is not None and assessment.verdict is not Verdict.HARMFUL:
        return Watch(state.to_dict(), cursor, candidate, stable, before, before, decided)
    assessment, needed = _under(split, assessment, _still_needed(assessment))
    if not _is_concurrent(release):
        assessment = replace(assessment, sentence=f"{assessment.sentence} {REFERENCE_SENTENCE}")
        shown["reference"] = REFERENCE_SENTENCE
    judged = Judged(assessment.verdict.value, assessment.sentence, needed)
    now_known = {**assessment.to_dict(), **shown}
    return Watch(state.to_dict(), cursor, candidate, stable, now_known, before, judged, disagrees, unsettled)


def _decided(rollout: Rollout) -> Judged | None:
    """The word on which all traffic was given to the new version, while it is on its way there."""
    known = rollout.assessment
    if Phase(rollout.phase) is not Phase.PROMOTING or not known.get("verdict"):
        return None
    return Judged(known["verdict"], known["sentence"])


def _against(agreement: dict[str, Any]) -> tuple[str, str]:
    """What the mirrored answers say against the version, and against going on yet, as sentences."""
    sentence = agreement["sentence"]
    return sentence if agreement["disagrees"] else "", "" if agreement["is_settled"] else sentence


def _under(split: Split | None, assessment: Assessment, needed: str) -> tuple[Assessment, str]:
    """The assessment, and what it still needs, under the split: only harm is believed when the split is wrong."""
    if split is None or not split.is_off or assessment.verdict is Verdict.HARMFUL:
        return assessment, needed
    verdict = worst_of([assessment.verdict, Verdict.INCONCLUSIVE])
    return replace(assessment, verdict=verdict, sentence=split.sentence), split.sentence


def guardrails_of(release: Release) -> list[Guardrail]:
    """The release's guardrails as the judge takes them."""
    return [Guardrail(row["metric"], float(row["margin"]), row.get("slo_ms")) for row in release.guardrails]


def _blocks(release: Release, rollout: Rollout, guardrails: list[Guardrail], arm: Arm) -> tuple[list[Block], int]:
    assert rollout.watched_at is not None
    not_before = rollout.watched_at
    if not _is_concurrent(release) and not rollout.judge:
        not_before -= REFERENCE_SPAN
    return arm_counts_since(
        environment=release.endpoint.environment.name,
        endpoint=release.endpoint.name,
        release=str(release.pk),
        after_id=rollout.judge_cursor,
        not_before=not_before,
        slos_ms=[guardrail.slo_ms for guardrail in guardrails if guardrail.slo_ms is not None],
        candidate_arm=arm,
        baseline_arm=Arm.BASELINE if has_baseline(steps_from_plan(release.plan)) else Arm.STABLE,
    )


def _is_concurrent(release: Release) -> bool:
    """Whether some step of the plan lets both arms answer at the same time."""
    steps = steps_from_plan(release.plan)
    return any(
        step.kind is StepKind.MIRROR or (step.kind is StepKind.WEIGHT and 0 < step.weight_pct < 100) for step in steps
    )


def _still_needed(assessment: Assessment) -> str:
    """What the verdict still waits for: the sentence of the undecided guardrail, and about how many requests it
    takes.
    """
    undecided = [result for result in assessment.guardrails if result.verdict is Verdict.INCONCLUSIVE]
    if assessment.verdict is not Verdict.INCONCLUSIVE or not undecided:
        return assessment.sentence
    guardrails = sum(result.metric != CLIENT_ERRORS for result in assessment.guardrails)
    needed = max(_needed(result, guardrails) for result in undecided)
    seen = undecided[0].candidate_n
    if needed <= seen:
        return assessment.sentence
    return f"{assessment.sentence} About {needed - seen:,} more requests of the new version are needed."


def _needed(result: GuardrailResult, count: int) -> int:
    """About how many candidate requests promotion takes, each worth what they were so far."""
    worth, baseline_worth = max(result.effective_n, 1.0), max(result.effective_baseline_n, 1.0)
    needed = candidate_requests_to_promote(result.margin, result.baseline_share or 0.0, baseline_worth / worth, count)
    return round(needed * max(result.candidate_n, 1) / worth)
