"""What the frozen plan of a release can conclude with the endpoint's traffic of now, and what would do instead."""

from deployments.models import Release
from deployments.plan_forecast import plan_forecast, traffic_of
from deployments.plan_offers import Terms, offers, why_too_fine
from deployments.rollout.steps import steps_from_plan
from registry.gates.base import Outlook


def outlook(release: Release) -> Outlook:
    """The outlook of a release's plan (reads the telemetry)."""
    if reason := _why_nothing(release):
        return Outlook(True, "", reason)
    place = (release.endpoint.environment.name, release.endpoint.name)
    deadline_s = float(release.plan.get("judge_deadline_s", release.policy.judge_deadline_s))
    terms = Terms(release.guardrails, traffic_of(place), release.policy, deadline_s)
    planned = plan_forecast(steps_from_plan(release.plan), release.guardrails, terms.traffic, deadline_s)
    if planned is None:
        return Outlook(True, "", "The plan compares nothing: its strategy takes all traffic without a share to watch.")
    found = planned.found
    would_do = [offer.label for offer in offers(release.strategy, planned, terms)]
    return Outlook(
        found.can_conclude,
        found.sentence,
        steps=tuple(row.sentence for row in found.steps),
        too_fine=why_too_fine(planned),
        offer=f"{', or '.join(would_do)} would see enough." if would_do else "",
    )


def _why_nothing(release: Release) -> str:
    """Why there is nothing to tell of the plan, empty when there is."""
    if release.plan.get("replaces") is None:
        return "The endpoint serves nothing yet, so there is nothing to compare with."
    return "" if release.guardrails else "The release has no guardrail, so nothing is compared."
