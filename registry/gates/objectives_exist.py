"""Something watches the endpoint: an objective for its answers, or a guardrail of the release.

What counts is what mlorch has: a guardrail on errors, and one on latency with its SLO. They are watched while the
rollout lasts.
"""

from registry.gates.base import Found, GateInput, erred, failed, passed, warned

LABEL = "Objectives exist"
HELP = "Errors and latency are watched: by guardrails of the release, the latter with an SLO. Only while it rolls out."
LOOKS_AT = ("guardrails",)
WATCHED = {"error_rate": "errors", "latency_over_slo": "latency against an SLO"}


def check(given: GateInput) -> Found:
    if given.around.objectives is None:
        return erred("Nobody has told what watches the endpoint.")
    metrics = {str(row.get("metric")) for row in given.guardrails}
    missing = [words for metric, words in WATCHED.items() if metric not in metrics and metric not in _kept(given)]
    objectives = list(given.around.objectives)
    if not metrics and not objectives:
        return failed("Nothing watches the release: it has no guardrail, and its endpoint no objective.")
    if missing:
        return warned(
            f"Nothing watches its {' and its '.join(missing)}.", guardrails=sorted(metrics), objectives=objectives
        )
    return passed("Errors and latency are watched.", guardrails=sorted(metrics), objectives=objectives)


def _kept(given: GateInput) -> set[str]:
    return set(given.around.objectives or ())
