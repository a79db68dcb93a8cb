"""Guardrails as requesters write them: strict reading and one sentence for each. Pure."""

from typing import Any

from deployments import limits
from deployments.rollout.strategies.fields import number, only_keys
from mlorch_site.lib.errors import Invalid

ERROR_RATE, LATENCY_OVER_SLO = "error_rate", "latency_over_slo"
KEYS: dict[str, set[str]] = {ERROR_RATE: {"metric", "margin"}, LATENCY_OVER_SLO: {"metric", "margin", "slo_ms"}}


def read_guardrails(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The guardrails with numbers as floats. Raises Invalid, naming the field, for anything else than what is known."""
    if not isinstance(rows, list) or len(rows) > limits.GUARDRAILS_MAX:
        raise Invalid(f"guardrails is a list of up to {limits.GUARDRAILS_MAX}.", details={"guardrails": "a list"})
    result: list[dict[str, Any]] = []
    for index, row in enumerate(rows):
        guardrail = _read(row, f"guardrails[{index}]")
        if any(_same(guardrail, other) for other in result):
            raise Invalid("Two guardrails watch the same.", details={f"guardrails[{index}]": "listed twice"})
        result.append(guardrail)
    return result


def sentence_of(guardrail: dict[str, Any]) -> str:
    """The guardrail as people read it."""
    margin = f"{guardrail['margin'] * 100:g} percentage points"
    if guardrail["metric"] == ERROR_RATE:
        return f"share of errors at most {margin} above the stable version's"
    return f"share of requests slower than {guardrail['slo_ms']:g} ms at most {margin} above the stable version's"


def _read(row: dict[str, Any], where: str) -> dict[str, Any]:
    metric = row.get("metric") if isinstance(row, dict) else None
    if not isinstance(metric, str) or metric not in KEYS:
        known = ", ".join(KEYS)
        raise Invalid(f"{where}.metric must be one of {known}.", details={f"{where}.metric": f"one of {known}"})
    only_keys(row, KEYS[metric], where)
    guardrail: dict[str, Any] = {"metric": metric, "margin": number(row, "margin", where, above=0, below=1)}
    if "slo_ms" in KEYS[metric]:
        guardrail["slo_ms"] = number(row, "slo_ms", where, above=0, below=limits.SLO_MS_MAX)
    return guardrail


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one["metric"] == other["metric"] and one.get("slo_ms") == other.get("slo_ms")
