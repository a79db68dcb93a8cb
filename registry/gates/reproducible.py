"""The version could be made again: code, tree, parameters, data, packages and Python are known."""

from typing import Any

from registry.gates.base import Found, GateInput, failed, passed, warned
from registry.gates.parameters import GateParameter

LABEL = "Reproducible"
HELP = "Commit, clean tree, parameters, digest of the data, pinned requirements and Python version are known."
LOOKS_AT = ("evidence",)
PARAMETERS = {
    "refuse": GateParameter("switch", False, "A version that could not be made again is refused, not only warned of.")
}


def check(given: GateInput) -> Found:
    evidence = given.version.evidence
    lacks = _lacks(evidence)
    known = {
        "commit": evidence.get("git_commit", ""),
        "dirty": evidence.get("git_dirty", ""),
        "parameters": len(evidence.get("params") or {}),
        "data": [row.get("digest") for row in _data_sets(evidence)],
        "python": evidence.get("python", ""),
    }
    if not lacks:
        return passed("Commit, clean tree, parameters, data, requirements and Python are known.", **known)
    sentence = f"It could not be made again for certain: {'; '.join(lacks)}."
    return (failed if given.parameters["refuse"] else warned)(sentence, lacks=lacks, **known)


def _lacks(evidence: dict[str, Any]) -> list[str]:
    """What is not known, or known to be otherwise."""
    lacks = []
    if not evidence.get("git_commit"):
        lacks.append("the code commit is not known")
    lacks += _tree(str(evidence.get("git_dirty", "")).strip().lower())
    if not evidence.get("params"):
        lacks.append("no parameter was logged")
    sets = _data_sets(evidence)
    if not sets:
        lacks.append("no data set was logged")
    elif unsigned := [str(row.get("name", "")) for row in sets if not row.get("digest")]:
        lacks.append(f"the data set {unsigned[0]} has no digest")
    return lacks + _packages(evidence)


def _tree(flag: str) -> list[str]:
    if flag in ("false", "0", "no"):
        return []
    if flag in ("true", "1", "yes"):
        return ["the code had changes that were not committed"]
    return ["whether the code had changes that were not committed is not known"]


def _packages(evidence: dict[str, Any]) -> list[str]:
    lines = evidence.get("requirements") or []
    loose = [line for line in lines if "==" not in line.split("#", 1)[0] or "*" in line.split("#", 1)[0]]
    lacks = [] if lines else ["no requirements are known"]
    lacks += [f"{loose[0]!r} is not pinned"] if loose else []
    return lacks + ([] if evidence.get("python") else ["the Python version is not known"])


def _data_sets(evidence: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in evidence.get("datasets") or [] if isinstance(row, dict)]
