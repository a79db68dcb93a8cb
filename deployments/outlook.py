"""What the frozen plan of a release can conclude with the endpoint's traffic of now, and what would do instead."""

from deployments.models import Release
from deployments.plan_forecast import PlanForecast, plan_forecast
from deployments.rollout.steps import steps_from_plan
from monitoring.analysis.planning import Forecast, StepForecast, duration
from registry.gates.base import Outlook

WEIGHTS = (1, 2, 5, 10, 20, 25, 30, 40, 50, 60, 75, 90)


def outlook(release: Release) -> Outlook:
    """The outlook of a release's plan (reads the telemetry)."""
    if reason := _why_nothing(release):
        return Outlook(True, "", reason)
    place = (release.endpoint.environment.name, release.endpoint.name)
    deadline_s = float(release.plan.get("judge_deadline_s", release.policy.judge_deadline_s))
    planned = plan_forecast(steps_from_plan(release.plan), release.guardrails, place, deadline_s)
    if planned is None:
        return Outlook(True, "", "The plan compares nothing: its strategy takes all traffic without a share to watch.")
    found = planned.found
    fine = next((row for row in found.steps if row.candidate_requests < row.needed_requests), None)
    return Outlook(
        found.can_conclude,
        found.sentence,
        steps=tuple(row.sentence for row in found.steps),
        too_fine=_too_fine(found, fine, planned.rate_per_s),
        offer=_offer(fine, planned),
    )


def _why_nothing(release: Release) -> str:
    """Why there is nothing to tell of the plan, empty when there is."""
    if release.plan.get("replaces") is None:
        return "The endpoint serves nothing yet, so there is nothing to compare with."
    return "" if release.guardrails else "The release has no guardrail, so nothing is compared."


def _too_fine(found: Forecast, fine: StepForecast | None, rate: float) -> str:
    if fine is None or not rate:
        return ""
    number = found.steps.index(fine) + 1
    return (
        f"Step {number} is too fine: {fine.weight_pct} % for {duration(fine.duration_s)} sees about "
        f"{fine.candidate_requests:,} requests, and telling harm takes {fine.needed_requests:,}."
    )


def _offer(fine: StepForecast | None, planned: PlanForecast) -> str:
    """A step that would see enough: the same share for longer, and where there is one a larger share as long."""
    rate = planned.rate_per_s
    if fine is None or not rate:
        return ""
    longer = duration(fine.needed_requests / (rate * fine.weight_pct / 100))
    larger = None
    for weight in WEIGHTS:
        # Nearly the same number is needed at another share: it is checked again when the plan is made.
        if weight > fine.weight_pct and rate * fine.duration_s * weight / 100 >= fine.needed_requests:
            larger = weight
            break
    other = f", or {larger} % for {duration(fine.duration_s)}" if larger and not planned.is_mirrored else ""
    return f"{fine.weight_pct} % for {longer}{other} would see enough."
