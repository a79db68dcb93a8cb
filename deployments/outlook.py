"""What the frozen plan of a release can conclude with the endpoint's traffic of now, and what would do instead."""

from collections.abc import Sequence
from itertools import pairwise

from deployments.lifecycle import StrategyKind
from deployments.models import Release
from deployments.rollout.steps import Step, StepKind, steps_from_plan
from monitoring.analysis.judge import Guardrail
from monitoring.analysis.planning import Forecast, StepForecast, duration, forecast
from monitoring.selectors import summary, traffic_rate
from registry.gates.base import Outlook

BASE_MINUTES = 10
BASE_MAX = 0.9
WEIGHTS = (1, 2, 5, 10, 20, 25, 30, 40, 50, 60, 75, 90)


def outlook(release: Release) -> Outlook:
    """The outlook of a release's plan (reads the telemetry)."""
    steps = steps_from_plan(release.plan)
    pairs, is_mirrored = _watched(steps, StepKind.WEIGHT), False
    if not pairs:
        pairs, is_mirrored = _watched(steps, StepKind.MIRROR), True
    if reason := _why_nothing(release, pairs):
        return Outlook(True, "", reason)
    environment, name = release.endpoint.environment.name, release.endpoint.name
    rate, share = traffic_rate(environment, name), summary(environment, name, minutes=BASE_MINUTES)[0].error_share or 0
    guardrails = [Guardrail(row["metric"], float(row["margin"]), row.get("slo_ms")) for row in release.guardrails]
    deadline_s = float(release.plan.get("judge_deadline_s", release.policy.judge_deadline_s))
    found = forecast(pairs, guardrails, rate, min(share, BASE_MAX), deadline_s, is_mirrored=is_mirrored)
    fine = next((row for row in found.steps if row.candidate_requests < row.needed_requests), None)
    return Outlook(
        found.can_conclude,
        found.sentence,
        steps=tuple(row.sentence for row in found.steps),
        too_fine=_too_fine(found, fine, rate),
        offer=_offer(fine, rate, is_mirrored),
    )


def _why_nothing(release: Release, pairs: list[tuple[int, float]]) -> str:
    """Why there is nothing to tell of the plan, empty when there is."""
    if release.plan.get("replaces") is None:
        return "The endpoint serves nothing yet, so there is nothing to compare with."
    if release.strategy.get("kind") not in (StrategyKind.CANARY, StrategyKind.SHADOW) or not pairs:
        return "The plan compares nothing: its strategy takes all traffic without a share to watch."
    return "" if release.guardrails else "The release has no guardrail, so nothing is compared."


def _watched(steps: Sequence[Step], kind: StepKind) -> list[tuple[int, float]]:
    """(percent, seconds) of the steps of a kind that a bake follows."""
    return [
        (step.weight_pct, float(bake.duration_s))
        for step, bake in pairwise(steps)
        if step.kind is kind and bake.kind is StepKind.BAKE
    ]


def _too_fine(found: Forecast, fine: StepForecast | None, rate: float) -> str:
    if fine is None or not rate:
        return ""
    number = found.steps.index(fine) + 1
    return (
        f"Step {number} is too fine: {fine.weight_pct} % for {duration(fine.duration_s)} sees about "
        f"{fine.candidate_requests:,} requests, and telling harm takes {fine.needed_requests:,}."
    )


def _offer(fine: StepForecast | None, rate: float, is_mirrored: bool) -> str:
    """A step that would see enough: the same share for longer, and where there is one a larger share as long."""
    if fine is None or not rate:
        return ""
    longer = duration(fine.needed_requests / (rate * fine.weight_pct / 100))
    larger = None
    for weight in WEIGHTS:
        # Nearly the same number is needed at another share: it is checked again when the plan is made.
        if weight > fine.weight_pct and rate * fine.duration_s * weight / 100 >= fine.needed_requests:
            larger = weight
            break
    other = f", or {larger} % for {duration(fine.duration_s)}" if larger and not is_mirrored else ""
    return f"{fine.weight_pct} % for {longer}{other} would see enough."
