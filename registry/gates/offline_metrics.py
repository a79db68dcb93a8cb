"""The metrics that were measured before the release are as the policy asks, and against what serves."""

from registry.gates.base import Found, GateInput, failed, passed, warned
from registry.gates.parameters import GateParameter
from registry.lifecycle import GateOutcome
from registry.metric_thresholds import Held, held, line_problem, threshold_of
from registry.version_comparison import Judgement, compare_versions

LABEL = "Offline metrics"
HELP = (
    "Metrics of the version's run are as the policy asks, also against the version that serves; what is lost is named."
)
LOOKS_AT = ("evidence", "serving version")
HOW = ("pass", "warn", "fail")
PARAMETERS = {
    "thresholds": GateParameter(
        "lines",
        [],
        "One a line: accuracy >= 0.9, slice_*_auc not worse than 2 %, cost not worse than 0.1, lower is better.",
        line_problem=line_problem,
    ),
    "when_lost": GateParameter(
        "choice", "warn", "What it is when the serving version has a metric that this one lacks.", choices=HOW
    ),
    "when_worse": GateParameter(
        "choice", "warn", "What it is when a metric is worse than the serving version's, whatever by.", choices=HOW
    ),
}
SAID_MAX = 4
KEPT_MAX = 200


def check(given: GateInput) -> Found:
    metrics = given.version.evidence.get("metrics") or {}
    before = (given.from_version.evidence.get("metrics") or {}) if given.from_version else None
    rows = [
        one for line in given.parameters["thresholds"] for one in held(threshold_of(line), metrics, before)
    ] + _compared(given)
    evidence = {"lines": [[one.line, one.metric, str(one.outcome), one.sentence] for one in rows][:KEPT_MAX]}
    for outcome, judged in ((GateOutcome.FAIL, failed), (GateOutcome.WARN, warned)):
        if found := [one for one in rows if one.outcome is outcome]:
            return judged(f"{_said(found)}.", **evidence)
    if not metrics:
        return warned("The version has no metrics, so nothing is known of how good it is.")
    asked = len(given.parameters["thresholds"])
    return passed(
        f"{len(metrics)} metrics; {asked or 'no'} line{'s' if asked != 1 else ''} of the policy, none missed.",
        **evidence,
    )


def _compared(given: GateInput) -> list[Held]:
    """What is lost or worse against the version that serves, whatever the lines say."""
    if given.from_version is None:
        return []
    comparison = compare_versions(given.from_version, given.version)
    said = {Judgement.MISSING: ("when_lost", "is missing, which the serving version has")}
    said[Judgement.WORSE] = ("when_worse", "is worse than the serving version's")
    return [
        Held("", name, GateOutcome(given.parameters[parameter]), f"{name} {words}")
        for judgement, (parameter, words) in said.items()
        for name in comparison.metrics_that_are(judgement)
    ]


def _said(rows: list[Held]) -> str:
    named = list(dict.fromkeys(one.sentence for one in rows))
    more = f"; and {len(named) - SAID_MAX} more" if len(named) > SAID_MAX else ""
    return "; ".join(named[:SAID_MAX]) + more
