"""Canary: rising shares of the traffic, each watched for a while; the verdict before promotion must be healthy.

`{"kind": "canary", "steps": [{"weight": 10, "bake_s": 60, "min_requests": 200}, …], "hold": false,
"baseline": "fresh"}`
"""

from typing import Any

from deployments import limits
from deployments.rollout.steps import Step, StepKind
from deployments.rollout.strategies.fields import (
    only_keys,
    true_or_false,
    wants_fresh_baseline,
    whole_number,
    with_fresh_baseline,
)
from deployments.rollout.strategies.targeting import target_steps
from mlorch_site.lib.errors import Invalid


def compile_steps(strategy: dict[str, Any]) -> list[Step]:
    """Start, (target, bake) if requests are chosen, (weight, bake)…, judge, hold if wished, promote."""
    only_keys(strategy, {"kind", "target", "steps", "hold", "baseline"}, "strategy")
    shares = rising_shares(strategy.get("steps"))
    if wants_fresh_baseline(strategy):
        shares = with_fresh_baseline(shares)
    steps = [Step(StepKind.START), *target_steps(strategy), *shares, Step(StepKind.JUDGE)]
    if true_or_false(strategy, "hold", "strategy", default=False):
        steps.append(Step(StepKind.HOLD))
    return [*steps, Step(StepKind.PROMOTE)]


def rising_shares(rows: Any) -> list[Step]:
    """Return (weight, bake)… of the rows a requester wrote. Raises Invalid."""
    if not isinstance(rows, list) or not 1 <= len(rows) <= limits.STEPS_MAX:
        raise Invalid(
            f"A canary has 1 to {limits.STEPS_MAX} steps.", details={"strategy.steps": f"1 to {limits.STEPS_MAX} steps"}
        )
    steps: list[Step] = []
    previous = 0
    for index, row in enumerate(rows):
        weight, bake = _row(row, f"strategy.steps[{index}]", previous)
        previous = weight.weight_pct
        steps += [weight, bake]
    return steps


def _row(row: dict[str, Any], where: str, previous: int) -> tuple[Step, Step]:
    only_keys(row, {"weight", "bake_s", "min_requests"}, where)
    weight = whole_number(row, "weight", where, low=1, high=100)
    if weight <= previous:
        raise Invalid(
            f"Weights must rise: {weight} does not come after {previous}.", details={f"{where}.weight": "must rise"}
        )
    bake_s = whole_number(row, "bake_s", where, low=1, high=limits.BAKE_S_MAX)
    min_requests = whole_number(row, "min_requests", where, low=0, high=limits.MIN_REQUESTS_MAX, default=0)
    return Step(StepKind.WEIGHT, weight_pct=weight), Step(StepKind.BAKE, duration_s=bake_s, min_requests=min_requests)
