"""Shadow: the new version answers a copy of a share of the requests; clients notice nothing, answers and errors are
compared.

`{"kind": "shadow", "mirror": 50, "bake_s": 300, "min_requests": 200, "min_agreement": 95, "steps": […], "hold": true}`

`min_agreement` is the percent of compared answers that must agree (0: none must). `steps` are those of a canary and
come after the mirror; without them all traffic moves at once, so that by default a person has to promote.
"""

from typing import Any

from deployments import limits
from deployments.rollout.steps import Step, StepKind
from deployments.rollout.strategies.canary import rising_shares
from deployments.rollout.strategies.fields import only_keys, true_or_false, whole_number

KEYS = {"kind", "mirror", "bake_s", "min_requests", "min_agreement", "steps", "hold"}
MIRROR_PCT, BAKE_S = 50, 300


def compile_steps(strategy: dict[str, Any]) -> list[Step]:
    """Start, mirror, bake, judge, the steps of a canary if there are some, hold if wished, promote."""
    only_keys(strategy, KEYS, "strategy")
    share = whole_number(strategy, "mirror", "strategy", low=1, high=100, default=MIRROR_PCT)
    agreement = whole_number(strategy, "min_agreement", "strategy", low=0, high=limits.AGREEMENT_PCT_MAX, default=0)
    bake_s = whole_number(strategy, "bake_s", "strategy", low=1, high=limits.BAKE_S_MAX, default=BAKE_S)
    min_requests = whole_number(strategy, "min_requests", "strategy", low=0, high=limits.MIN_REQUESTS_MAX, default=0)
    shares = rising_shares(strategy["steps"]) if strategy.get("steps") else []
    steps = [
        Step(StepKind.START),
        Step(StepKind.MIRROR, weight_pct=share, agreement_pct=agreement),
        Step(StepKind.BAKE, duration_s=bake_s, min_requests=min_requests),
        Step(StepKind.JUDGE),
    ]
    if shares:
        steps += [*shares, Step(StepKind.JUDGE)]
    if true_or_false(strategy, "hold", "strategy", default=not shares):
        steps.append(Step(StepKind.HOLD))
    return [*steps, Step(StepKind.PROMOTE)]
