"""What made the version fits what would serve it: MLflow, Python, flavour. Told by what is written down, never by
running the model.
"""

import platform
from importlib import metadata

from packaging.version import InvalidVersion, Version

from registry.gates.base import Found, GateInput, failed, passed, warned, worst

LABEL = "Tooling fits the platform"
HELP = "MLflow, Python and flavour of the version fit what the platform has."
LOOKS_AT = ("evidence",)

SERVED = "python_function"  # every version is served through it
MLFLOW_PACKAGES = ("mlflow", "mlflow-skinny")


def check(given: GateInput) -> Found:
    evidence = given.version.evidence
    flavors = [str(name) for name in evidence.get("flavors") or []]
    has = {"python": platform.python_version(), "mlflow": mlflow_here()}
    made = {"python": evidence.get("python", ""), "mlflow": evidence.get("mlflow_version", ""), "flavours": flavors}
    found = [
        _flavour(flavors),
        _python(str(made["python"]), has["python"], is_code=flavors == [SERVED]),
        _mlflow(str(made["mlflow"]), has["mlflow"]),
    ]
    worse = worst(found)
    said = " ".join(one.sentence for one in found if one.outcome == worse.outcome)
    return Found(worse.outcome, said, {"version": made, "platform": has})


def mlflow_here() -> str:
    """The version of MLflow that serves here, empty when it is not installed."""
    for name in MLFLOW_PACKAGES:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return ""


def _flavour(flavors: list[str]) -> Found:
    if not flavors:
        return failed("The version's MLmodel names no flavour, so nothing can load it.")
    if SERVED not in flavors:
        return failed(f"The version has no {SERVED} flavour (it has {', '.join(flavors[:5])}), so it cannot be served.")
    return passed(f"Flavour {SERVED} is served.")


def _python(made: str, here: str, *, is_code: bool) -> Found:
    theirs, ours = _numbers(made), _numbers(here)
    if theirs is None or ours is None:
        return warned("Which Python it was made with is not known.")
    if theirs[0] != ours[0]:
        return failed(f"It was made with Python {made}; the platform has {here}.")
    if theirs[:2] != ours[:2]:
        # Such a version is Python code as bytes, and those are of one Python only.
        judged = failed if is_code else warned
        why = ", and its code is kept as bytes of that Python" if is_code else ""
        return judged(f"It was made with Python {made}{why}; the platform has {here}.")
    return passed(f"Python {made} fits {here}.")


def _mlflow(made: str, here: str) -> Found:
    theirs, ours = _numbers(made), _numbers(here)
    if theirs is None:
        return warned("Which MLflow it was logged with is not known.")
    if ours is None:
        return warned(f"It was logged with MLflow {made}; which one the platform has is not known.")
    if theirs[0] > ours[0]:
        return failed(f"It was logged with MLflow {made}; the platform has the older {here}.")
    if theirs > ours:
        return warned(f"It was logged with MLflow {made}, which is newer than the platform's {here}.")
    return passed(f"MLflow {made} fits {here}.")


def _numbers(text: str) -> tuple[int, ...] | None:
    """The release numbers of a version, None when it is none."""
    try:
        release = Version(text).release
    except InvalidVersion:
        return None
    return (*release, 0, 0)[:3]
