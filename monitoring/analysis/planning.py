"""Before a release: can its plan conclude anything with the traffic the endpoint has?"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from monitoring.analysis.judge import DEFAULT_ALPHA, Guardrail
from monitoring.analysis.sequential import difference_interval

POWER = 0.8
REQUESTS_MAX = 100_000_000


def candidate_requests_to_detect(
    base: float, excess: float, ratio: float = 1.0, alpha: float = 0.05, power: float = POWER
) -> float:
    """Return how many candidate requests a two-sided two-proportion test needs to detect `base` → `base + excess`.

    `ratio` is baseline requests per candidate request. n_c = (z_{α/2} √((1+1/r) p̄ q̄) + z_β √(p_c q_c + p_b q_b / r))² / δ² with
    p̄ = (p_c + r p_b) / (1 + r) (Fleiss, Levin, Paik, Statistical Methods for Rates and Proportions, without continuity correction).
    """
    if not 0 <= base < 1 or not 0 < excess <= 1 - base or ratio <= 0:
        raise ValueError("the shares must lie between 0 and 1 and the ratio above 0")
    p_c, p_b = base + excess, base
    pooled = (p_c + ratio * p_b) / (1 + ratio)
    normal = NormalDist()
    z_alpha, z_beta = normal.inv_cdf(1 - alpha / 2), normal.inv_cdf(power)
    spread = z_alpha * math.sqrt((1 + 1 / ratio) * pooled * (1 - pooled))
    spread += z_beta * math.sqrt(p_c * (1 - p_c) + p_b * (1 - p_b) / ratio)
    return spread**2 / excess**2


def candidate_requests_to_promote(
    margin: float, base: float, ratio: float, guardrails: int = 1, alpha: float = DEFAULT_ALPHA
) -> int:
    """Return how many candidate requests, both arms at share `base`, bring the interval's upper end below `margin`.

    This is what healthy needs when the candidate is exactly as good. Found by doubling and bisection on the judge's own interval.
    """

    def is_inside(requests: int) -> bool:
        others = max(1, round(requests * ratio))
        interval = difference_interval(
            (requests, round(requests * base)), (others, round(others * base)), alpha / guardrails
        )
        return interval.high < margin

    high = 16
    while not is_inside(high):
        high *= 2
        if high > REQUESTS_MAX:
            return REQUESTS_MAX
    low = high // 2
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if is_inside(middle) else (middle, high)
    return high


def finite_bound_requests(quantile: float, confidence: float = 0.95) -> int:
    """Return the smallest n for which a one-sided upper confidence bound of a quantile is finite (59 for p95, 299 for p99)."""
    return math.ceil(math.log(1 - confidence) / math.log(quantile))


@dataclass(frozen=True)
class StepForecast:
    """What one step of a plan will see and what it could detect."""

    weight_pct: int
    duration_s: float
    candidate_requests: int
    needed_requests: int
    can_detect: bool
    sentence: str


@dataclass(frozen=True)
class Forecast:
    """What a plan can conclude. `promotion_s` is about how long after the last step began it can be healthy, None without traffic."""

    steps: list[StepForecast]
    needed_to_promote: int
    promotion_s: float | None
    can_conclude: bool
    sentence: str


def forecast(
    steps: list[tuple[int, float]],
    guardrails: list[Guardrail],
    request_rate_per_s: float,
    base: float,
    deadline_s: float,
) -> Forecast:
    """Return what a plan of (weight in percent, seconds) steps can conclude at `request_rate_per_s`, both arms at share `base`."""
    margin = min((guardrail.margin for guardrail in guardrails), default=0.0)
    if not guardrails or not steps:
        return Forecast([], 0, 0.0, True, "The plan has no guardrail, so nothing is compared.")
    rows = [_step(weight, seconds, margin, request_rate_per_s, base) for weight, seconds in steps]
    weight, seconds = steps[-1]
    ratio = max(100 - weight, 1) / weight
    judged = len(guardrails) + any(guardrail.metric == "error_rate" for guardrail in guardrails)
    needed = max(candidate_requests_to_promote(guardrail.margin, base, ratio, judged) for guardrail in guardrails)
    seen_before = sum(row.candidate_requests for row in rows[:-1])
    rate = request_rate_per_s * weight / 100
    if rate <= 0:
        return Forecast(
            rows, needed, None, False, "The endpoint has no traffic now, so the plan cannot conclude anything."
        )
    wait_s = max(seconds, (needed - seen_before) / rate)
    can = wait_s <= seconds + deadline_s
    sentence = f"About {needed:,} candidate requests are needed before this can be promoted: about {duration(wait_s)} at {weight} %."
    if not can:
        sentence += f" That is longer than the deadline of {duration(deadline_s)}: raise the last weight, the margin, or the traffic."
    return Forecast(rows, needed, wait_s, can, sentence)


def _step(weight: int, seconds: float, margin: float, rate: float, base: float) -> StepForecast:
    seen = int(rate * seconds * weight / 100)
    ratio = max(100 - weight, 1) / weight
    needed = math.ceil(candidate_requests_to_detect(max(base, 0.001), margin, ratio))
    sentence = f"{weight} % for {duration(seconds)} sees about {seen:,} requests; detecting +{margin * 100:g} pp needs {needed:,}."
    return StepForecast(weight, seconds, seen, needed, seen >= needed, sentence)


def duration(seconds: float) -> str:
    """Return a span of time in the unit people would use: `45 s`, `5 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
