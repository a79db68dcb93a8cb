"""The form of a new release filled in as an earlier one was requested. Pure over the release."""

import json
from typing import Any

from deployments import limits
from deployments.lifecycle import ReleaseStatus
from deployments.models import Release
from deployments.rollout.guardrails import ERROR_RATE, LATENCY_OVER_SLO, read_guardrails

TAKEN_AGAIN = (
    ReleaseStatus.ROLLED_BACK,
    ReleaseStatus.ABORTED,
    ReleaseStatus.REJECTED,
    ReleaseStatus.EXPIRED,
    ReleaseStatus.FAILED,
)
PLAIN = ("step_pct", "mirror", "min_agreement", "bake_s", "min_requests")  # fields of a strategy that the form has too
SHARES = {ERROR_RATE: "error_margin", LATENCY_OVER_SLO: "slo_margin"}
QUANTILE_FIELD, SATURATION_FIELD = "quantile_margin_ms", "saturation_max"
SATURATION_ASKED = {"metric": "saturation", "method": "threshold", "interval_s": 30}


def can_be_asked_again(release: Release) -> bool:
    """Whether a release ended without serving in the end. What a rollback brought back has nothing to ask for."""
    return release.kind == "release" and ReleaseStatus(release.status) in TAKEN_AGAIN


def asked_again(release: Release) -> dict[str, Any]:
    """Field of the form → its value, as the release was requested; `None` empties a field that has a default."""
    strategy = release.strategy
    values: dict[str, Any] = {
        "model": release.version.model.name,
        "version": release.version.number,
        "environment": release.endpoint.environment.name,
        "endpoint": release.endpoint.name,
        "reason": release.reason,
        "ticket": release.plan.get("ticket", ""),
    }
    return {**values, **strategy_fields(strategy), **guardrail_fields(release.guardrails)}


def strategy_fields(strategy: dict[str, Any]) -> dict[str, Any]:
    """Field of the form → its value for a strategy; `None` empties a field that has a default."""
    values = {"kind": strategy.get("kind"), "hold": bool(strategy.get("hold"))}
    values |= {name: strategy[name] for name in PLAIN if name in strategy}
    values |= {
        "fresh_baseline": strategy.get("baseline") == "fresh",
        "watch_s": strategy.get("watch_s", limits.WATCH_S),
    }
    return values | _target(strategy) | _steps(strategy.get("steps") or [])


def _target(strategy: dict[str, Any]) -> dict[str, Any]:
    """The chosen requests; units were not kept and cannot be filled in."""
    target = strategy.get("target") or {}
    lines = [f"{name}: {', '.join(values)}" for name, values in target.get("headers", {}).items()]
    return {
        "target_headers": "\n".join(lines),
        "target_bake_s": target.get("bake_s"),
        "target_min_requests": target.get("min_requests"),
    }


def _steps(rows: list[dict[str, Any]]) -> dict[str, Any]:
    filled = [*rows, *[{}] * (limits.STEPS_MAX - len(rows))]
    names = {"weight": "weight", "bake": "bake_s", "requests": "min_requests"}
    return {f"{field}_{number}": row.get(key) for number, row in enumerate(filled) for field, key in names.items()}


def guardrail_fields(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Field of the form → its value for guardrails; those that have no field are kept as they are."""
    values: dict[str, Any] = dict.fromkeys((*SHARES.values(), QUANTILE_FIELD, SATURATION_FIELD))
    for row in _shown(rows):
        values |= _fields_of(row)
    shown = _shown(rows)
    kept = [row for row in rows if row not in shown]
    return values | {"kept": json.dumps(kept) if kept else None}


def _shown(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The guardrails that the form has room for: the first of each that it has a field for."""
    return list({"".join(sorted(_fields_of(row))): row for row in reversed(rows) if _fields_of(row)}.values())


def _fields_of(row: dict[str, Any]) -> dict[str, Any]:
    """The form's fields that say exactly this guardrail; empty when it says what the form cannot."""
    metric, keys = row["metric"], row.keys() - {"metric"}
    if metric in SHARES and keys in ({"margin"}, {"margin", "slo_ms"}):
        return {SHARES[metric]: _percent(row["margin"])} | ({"slo_ms": row["slo_ms"]} if "slo_ms" in row else {})
    if metric.startswith("latency_p") and keys == {"margin_ms"}:
        return {"quantile": metric, QUANTILE_FIELD: row["margin_ms"]}
    is_usual = metric == "saturation" and read_guardrails([SATURATION_ASKED | {"max": row["max"]}]) == [row]
    return {SATURATION_FIELD: _percent(row["max"])} if is_usual else {}


def _percent(share: float) -> float:
    return float(f"{share * 100:g}")
