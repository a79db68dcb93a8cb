"""What did not go as it was planned or as the rules ask by themselves, as a report lists it."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from deployments.lifecycle import Phase, ReleaseStatus
from deployments.models import Release, ReleaseEvent
from deployments.rollout.steps import StepKind, steps_from_plan

# Kinds of lines of a history that are no part of any plan.
UNPLANNED = {
    "release.paused": "paused",
    "rollout.held": "held",
    "rollout.split_off": "split wrong",
    "rollout.not_obeyed": "gateway did not obey",
    "rollout.blocked_serves": "blocked version serves",
    "release.look_failed": "engine failed",
    "wish.promote": "promoted by a person",
    "wish.abort": "aborted by a person",
    "wish.rollback": "taken back by a person",
    "approval.changed": "approval voided",
}
ENDED_OTHERWISE = {
    ReleaseStatus.ROLLED_BACK: "taken back",
    ReleaseStatus.ABORTED: "aborted",
    ReleaseStatus.FAILED: "failed",
    ReleaseStatus.REJECTED: "rejected",
}
LONGER_BY = 2.0  # a watched step that takes more than so many times its length is told
LONGER_LEAST_S = 60.0


def deviations_of(
    release: Release, events: Sequence[ReleaseEvent], approval: dict[str, Any] | None, gates: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The deviations of a release in the order of time, each with a kind, a moment and a sentence."""
    found = [*_of_approval(approval), *_of_gates(gates), *_of_events(events), *_of_steps(release, events)]
    if (kind := ENDED_OTHERWISE.get(ReleaseStatus(release.status))) and release.kind == "release":
        found.append(_deviation(kind, release.ended_at, release.status_reason))
    return sorted(found, key=lambda one: one["at"] or "")


def _deviation(kind: str, at: datetime | str | None, sentence: str) -> dict[str, Any]:
    return {"kind": kind, "at": at.isoformat() if isinstance(at, datetime) else at, "sentence": sentence}


def _of_approval(approval: dict[str, Any] | None) -> list[dict[str, Any]]:
    used = approval and approval["emergency"]
    if not used:
        return []
    sentence = f"{used['used_by']} let it begin without its approvals: {used['reason']}"
    return [_deviation("emergency", used["at"], sentence)]


def _of_gates(gates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        _deviation(
            "waiver",
            waiver["given_at"],
            f"{waiver['given_by']} let a finding of {gate['gate'].replace('_', ' ')} pass: {waiver['reason']}",
        )
        for gate in gates
        for waiver in gate["waivers"]
    ]


def _of_events(events: Sequence[ReleaseEvent]) -> list[dict[str, Any]]:
    return [_deviation(UNPLANNED[event.kind], event.at, event.sentence) for event in events if event.kind in UNPLANNED]


def _of_steps(release: Release, events: Sequence[ReleaseEvent]) -> list[dict[str, Any]]:
    """Watched steps that took much longer than their plan said."""
    steps = steps_from_plan(release.plan)
    moves = [event for event in events if event.kind == "rollout.step"]
    found = []
    for event, after in pairwise(moves):
        at = event.data.get("step", -1)
        if event.new != Phase.BAKING or not 0 <= at < len(steps) or steps[at].kind is not StepKind.BAKE:
            continue
        took, planned = (after.at - event.at).total_seconds(), steps[at].duration_s
        if took > max(planned * LONGER_BY, planned + LONGER_LEAST_S):
            text = f"Step {at + 1} was planned to be watched for {planned} s and took {took:,.0f} s."
            found.append(_deviation("longer than planned", after.at, text))
    return found
