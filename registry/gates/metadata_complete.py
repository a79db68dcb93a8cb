"""It is known where the version comes from, and it says what the policy requires of its metadata."""

from registry.gates.base import Found, GateInput, failed, passed, warned
from registry.stated_metadata import name_of, stated_metadata

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
    said = stated_metadata(version) if given.policy.required_metadata else {}
    unsaid = [name for name in given.policy.required_metadata if name_of(name) not in said]
    if unsaid:
        words = ", ".join(name.replace("_", " ") for name in unsaid)
        return failed(
            f"Nothing says its {words}. Set it as a tag of the version or of its model in MLflow, for example "
            f"{name_of(unsaid[0])}=….",
            missing=unsaid,
            said={name: [one.value, one.source] for name, one in said.items()},
        )
    missing = [text for key, text in WANTED.items() if not version.evidence.get(key)]
    missing += [f"the metric {name}, which the serving version has" for name in _lost_metrics(given)]
    stated = {name: [one.value, one.source] for name, one in said.items()}
    if missing:
        return warned(f"The run lacks {' and '.join(missing)}.", missing=missing, said=stated)
    more = f"; so are {len(given.policy.required_metadata)} required names" if given.policy.required_metadata else ""
    return passed(
        f"Run, metrics, data set and code commit are known{more}.",
        metrics=len(version.evidence["metrics"]),
        said=stated,
    )


def _lost_metrics(given: GateInput) -> list[str]:
    """The metrics by which the serving version was judged and this one cannot be."""
    before = given.from_version.evidence.get("metrics", {}) if given.from_version else {}
    return sorted(set(before) - set(given.version.evidence["metrics"]))
