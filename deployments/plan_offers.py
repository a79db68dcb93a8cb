"""Plans that would see enough where one that was written would not: each is a whole strategy. Pure.

An offer is made from the forecast and forecast again: it is given only when every step of it sees enough, its verdict
can come before the deadline, and nothing is wrong with it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from deployments import limits
from deployments.lifecycle import StrategyKind
from deployments.plan_forecast import EndpointTraffic, PlanForecast, plan_forecast
from deployments.plan_limits import PlanLimits, steps_problems
from deployments.rollout.strategies import compile_strategy, strategy_kind
from deployments.rollout.strategies.linear import BAKE_S as LINEAR_BAKE_S
from deployments.rollout.strategies.linear import STEP_PCT, STEP_PCT_MAX
from deployments.rollout.strategies.shadow import MIRROR_PCT
from mlorch_site.lib.errors import Invalid
from monitoring.analysis.planning import EVEN_PCT, StepForecast, duration

WEIGHTS = (1, 2, 5, 10, 20, 25, 30, 40, 50, 60, 75, 90)
TRIES_MAX = 6  # a longer step changes what the later ones need: so often an offer is mended before it is given up

Strategy: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Offer:
    """A strategy to take instead. `label` says it in a few words: `50 % for 6 min`."""

    label: str
    strategy: Strategy


@dataclass(frozen=True)
class Terms:
    """What every offer is held to: the guardrails, the traffic, the policy of the place, and the judge's deadline."""

    guardrails: Sequence[dict[str, Any]]
    traffic: EndpointTraffic
    policy: PlanLimits
    deadline_s: float

    def forecast(self, strategy: Strategy) -> PlanForecast | None:
        """The forecast of a strategy, None for one that may not be requested or that compares nothing."""
        try:
            steps = compile_strategy(strategy)
        except Invalid:
            return None
        if steps_problems(strategy, steps, self.policy, ""):
            return None
        return plan_forecast(steps, self.guardrails, self.traffic, self.deadline_s)


def is_enough(planned: PlanForecast) -> bool:
    """Whether a plan can conclude, and each of its steps sees enough to tell harm."""
    return planned.found.can_conclude and not any(step.is_too_fine for step in planned.found.steps)


def why_too_fine(planned: PlanForecast) -> str:
    """Which step sees too little, empty when none does or there is no traffic."""
    found = planned.found
    fine = next((step for step in found.steps if step.is_too_fine), None)
    if fine is None or not planned.rate_per_s:
        return ""
    return (
        f"Step {found.steps.index(fine) + 1} is too fine: {fine.weight_pct} % for {duration(fine.duration_s)} sees "
        f"about {fine.candidate_requests:,} requests, and telling harm takes {fine.needed_requests:,}."
    )


def offers(strategy: Strategy, planned: PlanForecast, terms: Terms) -> list[Offer]:
    """What would do instead of a strategy with this forecast; empty when it does itself, or without traffic."""
    if is_enough(planned) or planned.rate_per_s == 0:
        return []
    found: list[Offer] = []
    for changed in _candidates(strategy, planned):
        mended = _mended(changed, terms)
        if mended is not None and all(mended != other.strategy for other in found):
            found.append(Offer(_label(strategy, mended), mended))
    return found


def _mended(strategy: Strategy, terms: Terms) -> Strategy | None:
    """The strategy with its steps made long enough, None when that leads to nothing that may be requested."""
    for _ in range(TRIES_MAX):
        planned = terms.forecast(strategy)
        if planned is None or planned.rate_per_s == 0:
            return None
        if is_enough(planned):
            return strategy
        longer = _longer(strategy, planned)
        if longer == strategy:
            return None
        strategy = longer
    return None


def _candidates(strategy: Strategy, planned: PlanForecast) -> Iterator[Strategy]:
    """A larger share for as long, an even share for as long as it takes, the same share for longer: before they are
    mended.
    """
    fine = next((step for step in planned.found.steps if step.is_too_fine), planned.found.steps[-1])
    per_s = planned.rate_per_s / 100
    larger = [w for w in WEIGHTS if w > fine.weight_pct and per_s * fine.duration_s * w >= fine.needed_requests]
    for weight in (*larger[:1], EVEN_PCT):
        if weight > fine.weight_pct:
            yield _with_weight(strategy, fine, weight)
    yield strategy


def _with_weight(strategy: Strategy, fine: StepForecast, weight: int) -> Strategy:
    """The strategy with a larger share in the step that is too fine; shares have to rise, so the steps that would not
    any more are left out.
    """
    if strategy_kind(strategy) is StrategyKind.LINEAR:
        return strategy | {"step_pct": min(weight, STEP_PCT_MAX)}
    if not strategy.get("steps"):
        return strategy | {"mirror": weight}
    rows = []
    for row in strategy["steps"]:
        if row["weight"] == fine.weight_pct:
            rows.append(row | {"weight": weight})
        elif not fine.weight_pct < row["weight"] <= weight:
            rows.append(row)
    return strategy | {"steps": rows}


def _longer(strategy: Strategy, planned: PlanForecast) -> Strategy:
    """The strategy with each step as long as it has to be; one that is long enough stays as it is."""
    spans = [_seconds_needed(step, planned.rate_per_s) for step in planned.found.steps]
    if not planned.found.can_conclude and planned.found.promotion_s is not None:
        spans[-1] = max(spans[-1], planned.found.promotion_s)
    wanted = [_readable(span) for span in spans]
    if strategy.get("steps"):
        rows = [row | {"bake_s": max(row["bake_s"], span)} for row, span in zip(strategy["steps"], wanted, strict=True)]
        return strategy | {"steps": rows}
    default = LINEAR_BAKE_S if strategy_kind(strategy) is StrategyKind.LINEAR else planned.found.steps[0].duration_s
    return strategy | {"bake_s": max(int(strategy.get("bake_s", default)), *wanted)}


def _seconds_needed(step: StepForecast, rate_per_s: float) -> float:
    return step.needed_requests / (rate_per_s * step.weight_pct / 100)


def _readable(seconds: float) -> int:
    """Rounded up to what people would write: tens of seconds, then minutes, then quarters of an hour."""
    unit = 10 if seconds <= 600 else 60 if seconds <= 7200 else 900
    return min(math.ceil(seconds / unit) * unit, limits.BAKE_S_MAX + 1)  # beyond the limit it is refused, not cut


def _label(before: Strategy, after: Strategy) -> str:
    """What the offer changes, in a few words."""
    if after.get("steps"):
        was = {row["weight"]: row["bake_s"] for row in before["steps"]}
        changed = [row for row in after["steps"] if was.get(row["weight"]) != row["bake_s"]] or after["steps"][:1]
        left_out = sorted(was.keys() - {row["weight"] for row in after["steps"]} - {before["steps"][0]["weight"]})
        without = f", without {' and '.join(f'{weight} %' for weight in left_out)}" if left_out else ""
        return ", then ".join(f"{row['weight']} % for {duration(row['bake_s'])}" for row in changed) + without
    kind, span = strategy_kind(after), duration(after["bake_s"]) if "bake_s" in after else "as long"
    if kind is StrategyKind.LINEAR:
        return f"steps of {after.get('step_pct', STEP_PCT)} % for {span} each"
    return f"copies of {after.get('mirror', MIRROR_PCT)} % for {span}"
