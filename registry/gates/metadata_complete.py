"""It is known where the version comes from: run, metrics, data set, code."""

from registry.gates.base import Found, GateInput, failed, passed, warned

LABEL = "Metadata"
HELP = "It is known where the version comes from, and it says what the policy requires of its metadata."
LOOKS_AT = ("evidence", "metadata", "serving version")

WANTED = {"datasets": "a data set (mlflow.log_input)", "git_commit": "a code commit"}


def check(given: GateInput) -> Found:
    version = given.version
    if not version.run_id:
        return failed("The version does not come from an MLflow run, so nobody can tell how it was made.")
    if not version.evidence.get("metrics"):
        return failed("The version's run has no metrics; reviewers would have nothing to judge by.")
    missing = [text for key, text in WANTED.items() if not version.evidence.get(key)]
    missing += [f"the metric {name}, which the serving version has" for name in _lost_metrics(given)]
    if missing:
        return warned(f"The run lacks {' and '.join(missing)}.", missing=missing)
    return passed("Run, metrics, data set and code commit are known.", metrics=len(version.evidence["metrics"]))


def _lost_metrics(given: GateInput) -> list[str]:
    """The metrics by which the serving version was judged and this one cannot be."""
    before = given.from_version.evidence.get("metrics", {}) if given.from_version else {}
    return sorted(set(before) - set(given.version.evidence["metrics"]))
