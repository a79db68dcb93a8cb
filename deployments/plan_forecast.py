"""What the steps of a plan can conclude with the endpoint's traffic of now. Reads the telemetry."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from deployments.models import Rollout
from deployments.rollout.guardrails import guardrail_kinds as kinds
from deployments.rollout.steps import Step, StepKind
from monitoring.analysis.planning import Forecast, forecast
from monitoring.selectors import summary, traffic_rate

BASE_MINUTES = 10  # the error share of the endpoint's last minutes is what both arms are assumed to have
BASE_MAX = 0.9
ROLLOUTS_LOOKED_AT = 5
REQUESTS_MIN = 20  # of fewer it cannot be told what they are worth


@dataclass(frozen=True)
class EndpointTraffic:
    """What an endpoint's traffic is like: requests per second, their share of errors, and how many of them are worth
    one independent one.
    """

    rate_per_s: float
    error_share: float
    design_effect: float


def traffic_of(place: tuple[str, str]) -> EndpointTraffic:
    """The traffic of the endpoint at `place` (environment, name) as it was measured last."""
    share = summary(*place, minutes=BASE_MINUTES)[0].error_share or 0.0
    return EndpointTraffic(traffic_rate(*place), min(share, BASE_MAX), _design_effect(place))


@dataclass(frozen=True)
class PlanForecast:
    """A forecast, and the requests per second it rests on. `is_mirrored`: the candidate gets copies only."""

    found: Forecast
    rate_per_s: float
    is_mirrored: bool


def plan_forecast(
    steps: Sequence[Step], guardrails: Sequence[dict[str, Any]], traffic: EndpointTraffic, deadline_s: float
) -> PlanForecast | None:
    """The forecast of a plan with such traffic; None when no step gives a share of it, or copies of it, that is watched
    beside the stable version, and when no guardrail counts requests.
    """
    shares, is_mirrored = _watched(steps, StepKind.WEIGHT), False
    if not shares:
        shares, is_mirrored = _watched(steps, StepKind.MIRROR), True
    if not shares or (not is_mirrored and shares[0][0] == 100):
        return None
    judged = kinds.counted(guardrails)
    if not judged:
        return None
    found = forecast(
        shares,
        judged,
        traffic.rate_per_s,
        traffic.error_share,
        deadline_s,
        is_mirrored=is_mirrored,
        design_effect=traffic.design_effect,
    )
    return PlanForecast(found, traffic.rate_per_s, is_mirrored)


def _design_effect(place: tuple[str, str]) -> float:
    """How many candidate requests were worth one independent one in the newest rollout of the endpoint that was judged;
    1 where none was.
    """
    rows = Rollout.objects.filter(release__endpoint__environment__name=place[0], release__endpoint__name=place[1])
    for assessment in rows.order_by("-release__created_at").values_list("assessment", flat=True)[:ROLLOUTS_LOOKED_AT]:
        found = [
            row["candidate_n"] / row["effective_n"]
            for row in assessment.get("guardrails", [])
            if row.get("effective_n") and row["candidate_n"] >= REQUESTS_MIN
        ]
        if found:
            return float(max(1.0, *found))
    return 1.0


def _watched(steps: Sequence[Step], kind: StepKind) -> list[tuple[int, float]]:
    """(percent, seconds) of the steps of a kind that a bake follows."""
    return [
        (step.weight_pct, float(bake.duration_s))
        for step, bake in pairwise(steps)
        if step.kind is kind and bake.kind is StepKind.BAKE
    ]
