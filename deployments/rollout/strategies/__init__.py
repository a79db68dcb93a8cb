"""Strategies: what a requester writes, checked and compiled to steps. Pure.

A strategy is a module with `compile_steps(strategy) -> list[Step]` that raises `Invalid` with the field to blame.
"""

from collections.abc import Callable
from typing import Any

from deployments import limits
from deployments.lifecycle import StrategyKind
from deployments.rollout.steps import Step, StepKind
from deployments.rollout.strategies import blue_green, canary, immediate, linear, shadow
from deployments.rollout.strategies.fields import whole_number
from mlorch_site.lib.errors import Invalid

WATCH_S = "watch_s"
COMPILERS: dict[StrategyKind, Callable[[dict[str, Any]], list[Step]]] = {
    StrategyKind.CANARY: canary.compile_steps,
    StrategyKind.LINEAR: linear.compile_steps,
    StrategyKind.SHADOW: shadow.compile_steps,
    StrategyKind.BLUE_GREEN: blue_green.compile_steps,
    StrategyKind.IMMEDIATE: immediate.compile_steps,
}


def strategy_kind(strategy: dict[str, Any]) -> StrategyKind:
    """The kind of a strategy. Raises Invalid for anything that is not a known kind."""
    kind = strategy.get("kind") if isinstance(strategy, dict) else None
    if kind not in set(StrategyKind):
        known = ", ".join(k.value for k in StrategyKind)
        raise Invalid(f"The strategy's kind must be one of {known}.", details={"strategy.kind": f"one of {known}"})
    return StrategyKind(kind)


def compile_strategy(strategy: dict[str, Any]) -> list[Step]:
    """The steps of a strategy. Raises Invalid, naming the field, for anything it cannot mean."""
    return COMPILERS[strategy_kind(strategy)]({key: value for key, value in strategy.items() if key != WATCH_S})


def watch_seconds(strategy: dict[str, Any]) -> int:
    """For how long what is promoted is watched, of any kind of strategy: `{"watch_s": 600}`, 0 for not at all. Raises
    Invalid.
    """
    return whole_number(strategy, WATCH_S, "strategy", low=0, high=limits.WATCH_S_MAX, default=limits.WATCH_S)


def first_release_steps() -> list[Step]:
    """The steps of an endpoint's first release: there is nothing to compare with and nothing to return to."""
    return [Step(StepKind.START), Step(StepKind.PROMOTE)]


def first_weight_pct(steps: list[Step]) -> int:
    """The first share of traffic above zero that a plan gives to the candidate (100 when it promotes at once)."""
    weights = [step.weight_pct for step in steps if step.kind is StepKind.WEIGHT and step.weight_pct > 0]
    return weights[0] if weights else 100
