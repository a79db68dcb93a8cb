"""Fold what the gateways counted since the last look into the judge's state, and ask it for its word. Reads only."""

import copy
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from dataplane.wire.route_table import TARGETED
from deployments.lifecycle import Arm, Phase
from deployments.models import Release, Rollout
from deployments.rollout.agreement import mirror_agreement, mirror_in_force, target_in_force
from deployments.rollout.guardrails import guardrail_kinds as kinds
from deployments.rollout.guardrails.guardrail_assessment import assess_all, for_a_person
from deployments.rollout.guardrails.guardrail_kind import GuardrailLook
from deployments.rollout.snapshot import Judged
from deployments.rollout.split import Split, split_of
from deployments.rollout.steps import StepKind, has_baseline, steps_from_plan
from mlorch_site.lib.hashing import settled
from monitoring.analysis.guardrail_result import CLIENT_ERRORS, Ground, GuardrailResult, Method, Unit
from monitoring.analysis.judge import DEFAULT_ALPHA, Assessment, Block, Guardrail, JudgeState, fold, initial_state
from monitoring.analysis.planning import candidate_requests_to_promote
from monitoring.analysis.verdicts import Verdict, worst_of
from monitoring.selectors import arm_counts_since

# When all traffic moves at once there is no concurrent stable arm; its last minutes before the move stand for it.
REFERENCE_SPAN = timedelta(minutes=10)
REFERENCE_SENTENCE = (
    f"The stable version gets no traffic any more: its last {REFERENCE_SPAN.seconds // 60} minutes "
    "before the switch stand for it."
)
KEPT = "kept"  # beside the judge's state: what guardrails that are looked at keep from look to look
CHOSEN_SENTENCE = (
    "Who was chosen and who was not are different populations: the comparison with the stable version shows nothing."
)
COUNTING = (Phase.BAKING, Phase.JUDGING)
BAKE_IS_OVER = (Phase.JUDGING, Phase.HOLDING, Phase.PROMOTING)
# Of a guardrail's result, what history and the audit record keep with a decision.
EVIDENCE = (
    *("metric", "slo_ms", "margin", "unit", "method", "is_critical", "verdict"),
    *("candidate_n", "candidate_k", "candidate_value", "baseline_n", "baseline_k", "baseline_value"),
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
    guardrails = kinds.counted(release.guardrails)
    arm = _candidate_arm(release, rollout)
    blocks, cursor = _blocks(release, rollout, guardrails, arm)
    counts = Phase(rollout.phase) in COUNTING
    candidate = sum(block.candidate.requests for block in blocks) if counts else 0
    stable = sum(block.baseline.requests for block in blocks) if counts else 0
    split = split_of(release, rollout, now)
    agreement = mirror_agreement(release, rollout)
    shown: dict[str, Any] = {"split": split.to_dict()} if split else {}
    shown |= {"comparison": agreement} if agreement else {}
    disagrees, unsettled = _against(agreement) if arm == Arm.SHADOW else ("", "")
    if not release.guardrails or release.replaces_id is None:
        now_known = settled({**before, **shown})
        return Watch(rollout.judge, cursor, candidate, stable, now_known, before, None, disagrees, unsettled)
    state = JudgeState.from_dict(rollout.judge) if rollout.judge else initial_state(guardrails)
    for block in blocks:
        state = fold(state, block)
    kept = copy.deepcopy(rollout.judge.get(KEPT, {}))
    assessment = assess_all(state, replace(_look(release, rollout, now, arm), blocks=blocks), kept)
    judge = {**state.to_dict(), **({KEPT: kept} if kept else {})}
    if decided is not None and assessment.verdict is not Verdict.HARMFUL:
        return Watch(judge, cursor, candidate, stable, before, before, decided)
    if arm == TARGETED:
        assessment = _of_chosen(assessment)
    assessment, needed = _under(split, assessment, _still_needed(assessment))
    if not _is_concurrent(release):
        assessment = replace(assessment, sentence=f"{assessment.sentence} {REFERENCE_SENTENCE}")
        shown["reference"] = REFERENCE_SENTENCE
    judged = Judged(assessment.verdict.value, assessment.sentence, needed, for_a_person(assessment))
    # In the form that it has in every row: what is frozen of it is compared with it.
    now_known = settled({**assessment.to_dict(), **shown})
    return Watch(judge, cursor, candidate, stable, now_known, before, judged, disagrees, unsettled)


def _baseline_arm(release: Release) -> str:
    """The arm that the candidate is compared with."""
    return (Arm.BASELINE if has_baseline(steps_from_plan(release.plan)) else Arm.STABLE).value


def _candidate_arm(release: Release, rollout: Rollout) -> str:
    """The arm whose windows are looked at now."""
    if target_in_force(release, rollout):
        return TARGETED
    return Arm.SHADOW if mirror_in_force(release, rollout) else Arm.CANDIDATE


def _of_chosen(assessment: Assessment) -> Assessment:
    """The assessment of requests that were chosen: only what needs no comparison is believed, for who was chosen and
    who was not are different populations.
    """
    results = [
        result if result.ground is Ground.LIMIT else replace(result, verdict=Verdict.INCONCLUSIVE, ground=Ground.NONE)
        for result in assessment.guardrails
    ]
    stopped = [result for result in results if result.ground is Ground.LIMIT]
    if stopped:
        return replace(assessment, verdict=Verdict.HARMFUL, sentence=stopped[0].sentence, guardrails=results)
    seen = max((result.candidate_n for result in results), default=0)
    verdict = Verdict.INCONCLUSIVE if seen else Verdict.NO_DATA
    sentence = f"{seen:,} chosen requests, none of the limits of harm reached. {CHOSEN_SENTENCE}"
    return replace(assessment, verdict=verdict, sentence=sentence, guardrails=results)


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


def _look(release: Release, rollout: Rollout, now: datetime, arm: str) -> GuardrailLook:
    assert rollout.watched_at is not None
    return GuardrailLook(
        release=release,
        rollout=rollout,
        now=now,
        bake_done=Phase(rollout.phase) in BAKE_IS_OVER,
        since=rollout.watched_at,
        candidate_arm=str(arm),
        baseline_arm=_baseline_arm(release),
        alpha=DEFAULT_ALPHA,
    )


def _blocks(release: Release, rollout: Rollout, guardrails: list[Guardrail], arm: str) -> tuple[list[Block], int]:
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
        baseline_arm=_baseline_arm(release),
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
    shares = [result for result in undecided if result.unit is Unit.SHARE and result.method is Method.SEQUENTIAL]
    needed = max((_needed(result, guardrails) for result in shares), default=0)
    seen = undecided[0].candidate_n
    if needed <= seen:
        return assessment.sentence
    return f"{assessment.sentence} About {needed - seen:,} more requests of the new version are needed."


def _needed(result: GuardrailResult, count: int) -> int:
    """About how many candidate requests promotion takes, each worth what they were so far."""
    worth, baseline_worth = max(result.effective_n, 1.0), max(result.effective_baseline_n, 1.0)
    needed = candidate_requests_to_promote(result.margin, result.baseline_share or 0.0, baseline_worth / worth, count)
    return round(needed * max(result.candidate_n, 1) / worth)
