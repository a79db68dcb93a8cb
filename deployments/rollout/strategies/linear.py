"""Linear: shares of the traffic that rise by the same amount, each watched for the same time; the verdict before
promotion must be healthy.

`{"kind": "linear", "step_pct": 20, "bake_s": 60, "min_requests": 200, "hold": false,
"baseline": "fresh"}`
"""

from typing import Any

from deployments import limits
from deployments.rollout.steps import Step, StepKind
from deployments.rollout.strategies.fields import (
    BASELINE_PCT_MAX,
    only_keys,
    true_or_false,
    wants_fresh_baseline,
    whole_number,
    with_fresh_baseline,
)
from deployments.rollout.strategies.targeting import target_steps

STEP_PCT, BAKE_S = 20, 60
STEP_PCT_MIN = -(-100 // limits.STEPS_MAX)  # with less there would be more steps than a plan may have
STEP_PCT_MAX = 50  # with more there would be one step


def compile_steps(strategy: dict[str, Any]) -> list[Step]:
    """Start, (target, bake) if requests are chosen, (weight, bake)… up to the last share below 100 % (with a fresh
    baseline: not above 50 %), judge, hold if wished, promote.
    """
    only_keys(strategy, {"kind", "target", "step_pct", "bake_s", "min_requests", "hold", "baseline"}, "strategy")
    step_pct = whole_number(strategy, "step_pct", "strategy", low=STEP_PCT_MIN, high=STEP_PCT_MAX, default=STEP_PCT)
    bake_s = whole_number(strategy, "bake_s", "strategy", low=1, high=limits.BAKE_S_MAX, default=BAKE_S)
    min_requests = whole_number(strategy, "min_requests", "strategy", low=0, high=limits.MIN_REQUESTS_MAX, default=0)
    bake = Step(StepKind.BAKE, duration_s=bake_s, min_requests=min_requests)
    steps = [Step(StepKind.START), *target_steps(strategy)]
    is_fresh = wants_fresh_baseline(strategy)
    for share in range(step_pct, BASELINE_PCT_MAX + 1 if is_fresh else 100, step_pct):
        steps += [Step(StepKind.WEIGHT, weight_pct=share), bake]
    if is_fresh:
        steps = with_fresh_baseline(steps)
    steps.append(Step(StepKind.JUDGE))
    if true_or_false(strategy, "hold", "strategy", default=False):
        steps.append(Step(StepKind.HOLD))
    return [*steps, Step(StepKind.PROMOTE)]
