"""What a policy asks of every plan, and where a plan falls short of it. Pure.

An endpoint's first release has no steps to limit: nothing is served yet. What is asked of guardrails holds for it too.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from deployments.lifecycle import StrategyKind
from deployments.rollout.steps import Step, StepKind
from deployments.rollout.strategies import first_weight_pct, strategy_kind
from deployments.rollout.strategies.linear import STEP_PCT_MIN

METRICS = {"error_rate": "the error rate", "latency_over_slo": "slow requests"}

type_Problems = dict[str, str]


class PlanLimits(Protocol):
    """The fields of a policy that limit plans."""

    allowed_strategies: list[str]
    max_first_weight_pct: int
    bake_s_min: int
    requests_min: int
    hold_required: bool
    margins_max: dict[str, float]


def can_be_kind(kind: StrategyKind, limits: PlanLimits) -> bool:
    """Whether some plan of this kind keeps to the limits."""
    if limits.allowed_strategies and kind.value not in limits.allowed_strategies:
        return False
    if kind is StrategyKind.IMMEDIATE and (limits.bake_s_min or limits.requests_min or limits.hold_required):
        return False
    if kind is StrategyKind.LINEAR:
        return limits.max_first_weight_pct >= STEP_PCT_MIN
    return limits.max_first_weight_pct == 100 or kind in (StrategyKind.CANARY, StrategyKind.SHADOW)


def steps_problems(strategy: dict[str, Any], steps: list[Step], limits: PlanLimits, place: str) -> "type_Problems":
    """Field of the request → what is wrong with the steps of a strategy that could be read."""
    kind = strategy_kind(strategy)
    problems: type_Problems = {}
    if limits.allowed_strategies and kind.value not in limits.allowed_strategies:
        allowed = ", ".join(limits.allowed_strategies)
        problems["strategy.kind"] = f"{place} allows {allowed}, not {kind.value}."
    first = first_weight_pct(steps)
    if first > limits.max_first_weight_pct:
        field = "strategy.step_pct" if kind is StrategyKind.LINEAR else "strategy.steps[0].weight"
        problems[field] = (
            f"The first share of traffic in {place} is {limits.max_first_weight_pct} % at most, not {first} %."
        )
    problems |= _watching_problems(kind, steps, limits, place)
    if limits.hold_required and not _is_held(steps):
        field = "strategy.kind" if kind is StrategyKind.IMMEDIATE else "strategy.hold"
        problems.setdefault(field, f"In {place} a person promotes: the plan has to wait for one before its last step.")
    return problems


def _watching_problems(kind: StrategyKind, steps: list[Step], limits: PlanLimits, place: str) -> "type_Problems":
    problems: type_Problems = {}
    for where, bake in _bakes(kind, steps):
        if bake.duration_s < limits.bake_s_min:
            asked = f"{limits.bake_s_min:,} s at least, not {bake.duration_s:,} s"
            problems[f"{where}.bake_s"] = f"In {place} each step is watched for {asked}."
        if bake.min_requests < limits.requests_min:
            asked = f"{limits.requests_min:,} requests at least, not {bake.min_requests:,}"
            problems[f"{where}.min_requests"] = f"In {place} each step waits for {asked}."
    if kind is StrategyKind.IMMEDIATE and (limits.bake_s_min or limits.requests_min):
        problems["strategy.kind"] = f"In {place} each release is watched before it is promoted; immediate watches none."
    return problems


def _bakes(kind: StrategyKind, steps: Sequence[Step]) -> Iterator[tuple[str, Step]]:
    """The steps that watch, each with where a requester wrote it."""
    bakes = [step for step in steps if step.kind is StepKind.BAKE]
    if any(step.kind is StepKind.TARGET for step in steps):
        yield "strategy.target", bakes.pop(0)
    if kind is StrategyKind.LINEAR:
        yield from (("strategy", bake) for bake in bakes[:1])  # all are alike
        return
    beside_the_rows = kind in (StrategyKind.SHADOW, StrategyKind.BLUE_GREEN)
    for number, bake in enumerate(bakes):
        row = number - 1 if beside_the_rows else number
        yield ("strategy" if row < 0 else f"strategy.steps[{row}]"), bake


def _is_held(steps: Sequence[Step]) -> bool:
    """Whether a person has to promote: the plan waits for one right before its last step."""
    return len(steps) > 1 and steps[-2].kind is StepKind.HOLD


def guardrails_problems(guardrails: list[dict[str, Any]], limits: PlanLimits, place: str) -> "type_Problems":
    """Field of the request → what is wrong with the guardrails.

    A bound on margins is met by a critical guardrail of mlorch's own method alone: other methods have no margin, and
    what is not critical does not take a release back by itself.
    """
    problems: type_Problems = {}
    for metric, widest in sorted(limits.margins_max.items()):
        asked = f"with a margin of {widest * 100:g} percentage points at most"
        rows = [
            (number, row)
            for number, row in enumerate(guardrails)
            if row["metric"] == metric and "margin" in row and row.get("critical", True)
        ]
        if not rows:
            problems[f"guardrails.{metric}"] = f"{place} asks for a guardrail on {METRICS[metric]}, {asked}."
        for number, row in rows:
            if row["margin"] > widest:
                points = f"{row['margin'] * 100:g}"
                problems[f"guardrails[{number}].margin"] = (
                    f"{place} asks for a guardrail on {METRICS[metric]} {asked}, not {points}."
                )
    return problems
