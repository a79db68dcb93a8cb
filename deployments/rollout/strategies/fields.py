"""Strict reading of what requesters write: unknown keys and wrong types are named, nothing is guessed."""

from dataclasses import replace
from typing import Any

from deployments.rollout.steps import Step, StepKind
from mlorch_site.lib.errors import Invalid

BASELINE_PCT_MAX = 50


def only_keys(data: dict[str, Any], allowed: set[str], where: str) -> None:
    """Raise Invalid when `data` is no object or has a key that is not in `allowed`."""
    if not isinstance(data, dict):
        raise Invalid(f"{where} must be an object.", details={where: "an object"})
    if unknown := sorted(str(key) for key in set(data) - allowed):
        raise Invalid(
            f"{where} has the unknown key {unknown[0]}; known are {', '.join(sorted(allowed))}.",
            details={f"{where}.{unknown[0]}": "unknown key"},
        )


def whole_number(data: dict[str, Any], key: str, where: str, *, low: int, high: int, default: int | None = None) -> int:
    """The whole number at `key`, between `low` and `high`.

    Raises Invalid (booleans and fractions are no whole numbers).
    """
    value = data.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        sentence = f"a whole number from {low} to {high}"
        raise Invalid(f"{where}.{key} must be {sentence}.", details={f"{where}.{key}": sentence})
    return value


def wants_fresh_baseline(strategy: dict[str, Any]) -> bool:
    """Whether the candidate is compared with replicas of the stable version that start when its own do
    (`"baseline": "fresh"`), or with those that serve already (`"stable"`, the default). Raises Invalid.
    """
    value = strategy.get("baseline", "stable")
    if value not in ("stable", "fresh"):
        raise Invalid("strategy.baseline must be stable or fresh.", details={"strategy.baseline": "stable or fresh"})
    return bool(value == "fresh")


def with_fresh_baseline(steps: list[Step]) -> list[Step]:
    """The steps with as much traffic for a fresh baseline as the candidate has. Raises Invalid over half of it."""
    if any(step.weight_pct > BASELINE_PCT_MAX for step in steps):
        raise Invalid(
            f"With a fresh baseline the new version can have {BASELINE_PCT_MAX} % of the traffic at most, because the "
            "baseline has as much.",
            details={"strategy.baseline": f"no share above {BASELINE_PCT_MAX} %"},
        )
    return [replace(step, baseline_pct=step.weight_pct) if step.kind is StepKind.WEIGHT else step for step in steps]


def true_or_false(data: dict[str, Any], key: str, where: str, *, default: bool) -> bool:
    """The truth value at `key`. Raises Invalid."""
    value = data.get(key, default)
    if not isinstance(value, bool):
        raise Invalid(f"{where}.{key} must be true or false.", details={f"{where}.{key}": "true or false"})
    return value


def number(data: dict[str, Any], key: str, where: str, *, above: float, below: float) -> float:
    """The number at `key`, strictly between `above` and `below`. Raises Invalid (also for NaN)."""
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not above < value < below:
        sentence = f"a number between {above:g} and {below:g}"
        raise Invalid(f"{where}.{key} must be {sentence}.", details={f"{where}.{key}": sentence})
    return float(value)
