"""Before a release: can its plan conclude anything with the traffic the endpoint has?"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

from monitoring.analysis.judge import DEFAULT_ALPHA, Guardrail
from monitoring.analysis.sequential import difference_interval

POWER = 0.8
REQUESTS_MAX = 100_000_000
WORTH_SAYING = 1.1  # a design effect above it is said
EVEN_PCT = 50  # the weight that needs the fewest requests in all
BASE_MIN = 0.001  # a share of exactly 0 would promise a detection from nothing


def candidate_requests_to_detect(
    base: float, excess: float, ratio: float = 1.0, alpha: float = 0.05, power: float = POWER
) -> float:
    """How many candidate requests a two-sided two-proportion test needs to detect `base` → `base + excess`.

    `ratio` is baseline requests per candidate request. n_c = (z_{α/2} √((1+1/r) p̄ q̄) + z_β √(p_c q_c + p_b q_b / r))²
    / δ² with p̄ = (p_c + r p_b) / (1 + r) (Fleiss, Levin, Paik, Statistical Methods for Rates and Proportions, without
    continuity correction).
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
    """How many candidate requests, both arms at share `base`, bring the interval's upper end below `margin`.

    This is what healthy needs when the candidate is exactly as good, to 1 %. `ratio` is baseline requests per candidate
    request.
    """
    return (
        _smallest(lambda n: _is_inside(n, max(1, round(n * ratio)), margin, base, alpha / guardrails)) or REQUESTS_MAX
    )


def _is_inside(candidate: int, baseline: int, margin: float, base: float, alpha: float) -> bool:
    """Whether both arms at share `base` put the harm interval below the margin; without a baseline nothing is
    judged.
    """
    if not baseline:
        return False
    interval = difference_interval((candidate, round(candidate * base)), (baseline, round(baseline * base)), alpha)
    return interval.high < margin


def _smallest(holds: Callable[[int], bool]) -> int | None:
    """About the smallest number (to 1 %) for which `holds`, by doubling and bisection; None beyond `REQUESTS_MAX`."""
    high = 16
    while not holds(high):
        high *= 2
        if high > REQUESTS_MAX:
            return None
    low = high // 2
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


@dataclass(frozen=True)
class StepForecast:
    """What one step of a plan will see and what it could detect.

    `needed_requests` is 0 when nothing is there to compare with.
    """

    weight_pct: int
    duration_s: float
    candidate_requests: int
    needed_requests: int
    sentence: str

    @property
    def is_too_fine(self) -> bool:
        """Whether the step sees fewer requests than it takes to tell harm of the margin's size."""
        return self.candidate_requests < self.needed_requests


@dataclass(frozen=True)
class Forecast:
    """What a plan can conclude.

    `promotion_s` is about how long after the last step began it can be healthy, None when never.

    `needed_to_promote` counts candidate requests over all steps, 0 when no number of them is enough.
    """

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
    *,
    earlier_baseline: int = 0,
    is_mirrored: bool = False,
    design_effect: float = 1.0,
) -> Forecast:
    """What a plan of (weight in percent, seconds) steps can conclude at `request_rate_per_s`, both arms at share
    `base`.

    `earlier_baseline` are the stable arm's requests from before the first step that the judge will know; without them a
    plan that begins at 100 % has nothing to compare with. With `is_mirrored` the candidate gets copies, and the stable
    arm keeps all requests. `design_effect` is how many requests are worth one independent one, as the last rollout of
    the endpoint measured it. Raises ValueError for weights outside 1–100 and negative or unknown numbers.
    """
    _refuse_senseless(steps, request_rate_per_s, base, design_effect)
    if not guardrails or not steps:
        return Forecast([], 0, 0.0, True, "The plan has no guardrail, so nothing is compared.")
    margin = min(guardrail.margin for guardrail in guardrails)
    rows, candidate, baseline = [], 0.0, float(earlier_baseline)
    for weight, seconds in steps:
        seen_before = (candidate, baseline)
        stable_weight = 100 if is_mirrored else 100 - weight
        candidate += request_rate_per_s * seconds * weight / 100
        baseline += request_rate_per_s * seconds * stable_weight / 100
        rows.append(
            _step(weight, stable_weight, seconds, margin, request_rate_per_s, _Seen(base, baseline, design_effect))
        )
    if request_rate_per_s == 0:
        return Forecast(rows, 0, None, False, "The endpoint has no traffic now, so the plan cannot conclude anything.")
    weight, seconds = steps[-1]
    needed = _needed_to_promote(guardrails, base, stable_weight / weight, seen_before, design_effect)
    if needed is None:
        return Forecast(rows, 0, None, False, _never(baseline))
    wait_s = max(seconds, (needed - seen_before[0]) / (request_rate_per_s * weight / 100))
    can = wait_s <= seconds + deadline_s
    sentence = (
        f"About {needed:,} candidate requests are needed before this can be promoted: about "
        f"{duration(wait_s)} at {weight} %."
    )
    if not can:
        sentence += (
            f" That is longer than the deadline of {duration(deadline_s)}: raise the last weight, the "
            "margin, or the traffic."
        )
    return Forecast(rows, needed, wait_s, can, sentence)


def _refuse_senseless(steps: list[tuple[int, float]], rate_per_s: float, base: float, design_effect: float) -> None:
    if any(not 0 < weight <= 100 or not 0 <= seconds < math.inf for weight, seconds in steps):
        raise ValueError("a step has a weight of 1 to 100 percent and a duration")
    if not 0 <= rate_per_s < math.inf or not 0 <= base <= 1:
        raise ValueError("a rate is not negative and a share lies between 0 and 1")
    if not 1 <= design_effect < math.inf:
        raise ValueError("a design effect is at least 1")


def _needed_to_promote(
    guardrails: list[Guardrail], base: float, ratio: float, seen_before: tuple[float, float], design_effect: float
) -> int | None:
    """The candidate requests, over all steps, that put every guardrail's interval below its margin; None when no number
    does.
    """
    candidate, baseline = seen_before

    def holds(requests: int) -> bool:
        others = round(baseline + max(0.0, requests - candidate) * ratio)
        level = DEFAULT_ALPHA / len(guardrails)
        worth = round(requests / design_effect), round(others / design_effect)
        return all(_is_inside(*worth, guardrail.margin, base, level) for guardrail in guardrails)

    return _smallest(holds)


def _never(baseline: float) -> str:
    if baseline < 1:
        return (
            "All traffic goes to the candidate at once and nothing is there to compare it with, so "
            "the plan cannot conclude anything."
        )
    return (
        f"The stable version's {baseline:,.0f} requests are too few to compare with: begin with a "
        "smaller weight, or widen the margin."
    )


@dataclass(frozen=True)
class _Seen:
    """What is known of the traffic of a step: shares and counts of the stable arm, and what requests are worth."""

    base: float
    baseline: float
    design_effect: float


def _step(weight: int, stable_weight: int, seconds: float, margin: float, rate: float, known: _Seen) -> StepForecast:
    seen = int(rate * seconds * weight / 100)
    text = f"{weight} % for {duration(seconds)} sees about {seen:,} requests"
    ratio = stable_weight / weight if stable_weight else known.baseline / max(seen, 1)
    if ratio == 0:
        return StepForecast(weight, seconds, seen, 0, f"{text}, and nothing beside them to compare with.")
    if known.design_effect > WORTH_SAYING:
        text += f" worth {max(seen / known.design_effect, 1):,.0f}"
    base = min(max(known.base, BASE_MIN), 1 - BASE_MIN)
    alone = candidate_requests_to_detect(base, min(margin, 1 - base), ratio)
    needed = math.ceil(alone * known.design_effect)
    text = f"{text}; detecting +{margin * 100:g} pp needs {needed:,}"
    if known.design_effect <= WORTH_SAYING or needed <= seen or not rate:
        return StepForecast(weight, seconds, seen, needed, f"{text}.")
    advice = f"{duration(needed / (rate * weight / 100))} at this weight"
    evenly = math.ceil(candidate_requests_to_detect(base, min(margin, 1 - base)) * known.design_effect)
    if weight < EVEN_PCT:
        advice = f"{EVEN_PCT} % for {duration(evenly / (rate * EVEN_PCT / 100))}, or {advice}"
    return StepForecast(weight, seconds, seen, needed, f"{text}: take {advice}.")


def duration(seconds: float) -> str:
    """A span of time in the unit people would use: `45 s`, `5 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
