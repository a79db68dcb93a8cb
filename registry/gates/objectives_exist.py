"""Errors and latency are watched: each by an objective of the endpoint, which is watched all the time, or by a
guardrail of the release, which is watched while it rolls out.
"""

from registry.gates.base import Found, GateInput, erred, failed, passed, warned

LABEL = "Objectives exist"
HELP = "Errors and latency are watched: by objectives of the endpoint, or while it rolls out by guardrails."
LOOKS_AT = ("guardrails",)
# The metric of a guardrail → the kind of objective that watches the same, and what that is.
WATCHED = {"error_rate": ("availability", "errors"), "latency_over_slo": ("latency", "latency against an SLO")}


def looked_at(given: GateInput) -> dict[str, object]:
    """An objective that is set or ended makes the answer another one."""
    return {"objectives": sorted(given.around.objectives or ())}


def check(given: GateInput) -> Found:
    if given.around.objectives is None:
        return erred("Nobody has told what watches the endpoint.")
    metrics, objectives = {str(row.get("metric")) for row in given.guardrails}, sorted(given.around.objectives)
    evidence = {"guardrails": sorted(metrics), "objectives": objectives}
    if not metrics and not objectives:
        return failed("Nothing watches the release: it has no guardrail, and its endpoint no objective.")
    missing = [words for metric, (kind, words) in WATCHED.items() if metric not in metrics and kind not in objectives]
    if missing:
        return warned(f"Nothing watches its {' and its '.join(missing)}.", **evidence)
    passing = [words for kind, words in WATCHED.values() if kind not in objectives]
    if passing:
        return passed(
            f"Errors and latency are watched; {' and '.join(passing)} only while it rolls out: "
            "the endpoint has no objective of that.",
            **evidence,
        )
    return passed("Errors and latency are watched by objectives of the endpoint, also after the rollout.", **evidence)
