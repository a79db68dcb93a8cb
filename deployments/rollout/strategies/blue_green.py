"""Blue-green: the new version stands ready beside the old one, takes all traffic at once, and the old one stays warm
while it is watched.

`{"kind": "blue_green", "bake_s": 60, "min_requests": 200, "hold": false}`
"""

from typing import Any

from deployments import limits
from deployments.rollout.steps import Step, StepKind
from deployments.rollout.strategies.fields import only_keys, true_or_false, whole_number


def compile_steps(strategy: dict[str, Any]) -> list[Step]:
    """Start, weight 0 (addressable by version, without traffic), weight 100, bake, judge, hold if
    wished, promote.
    """
    only_keys(strategy, {"kind", "bake_s", "min_requests", "hold"}, "strategy")
    bake_s = whole_number(strategy, "bake_s", "strategy", low=1, high=limits.BAKE_S_MAX, default=60)
    min_requests = whole_number(strategy, "min_requests", "strategy", low=0, high=limits.MIN_REQUESTS_MAX, default=0)
    steps = [
        Step(StepKind.START),
        Step(StepKind.WEIGHT, weight_pct=0),
        Step(StepKind.WEIGHT, weight_pct=100),
        Step(StepKind.BAKE, duration_s=bake_s, min_requests=min_requests),
        Step(StepKind.JUDGE),
    ]
    if true_or_false(strategy, "hold", "strategy", default=False):
        steps.append(Step(StepKind.HOLD))
    return [*steps, Step(StepKind.PROMOTE)]
