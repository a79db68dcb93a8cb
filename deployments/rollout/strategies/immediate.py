"""Immediate: all traffic as soon as the replicas are ready.

`{"kind": "immediate"}`
"""

from typing import Any

from deployments.rollout.steps import Step, StepKind
from deployments.rollout.strategies.fields import only_keys


def compile_steps(strategy: dict[str, Any]) -> list[Step]:
    """Start, promote."""
    only_keys(strategy, {"kind"}, "strategy")
    return [Step(StepKind.START), Step(StepKind.PROMOTE)]
