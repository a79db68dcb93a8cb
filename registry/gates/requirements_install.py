"""The version's requirements resolve and install, really: in a sandbox, from the index that environments are built
from, wheels only.
"""

from typing import Any

from registry.evidence.resolutions import resolution_key, resolution_of
from registry.evidence.services.advisories import resolution_keep
from registry.gates.base import Found, GateInput, failed, passed, skipped
from registry.gates.parameters import GateParameter
from registry.gates.scratch_tasks import LEASE_S, MEMORY_MB, deadline_of, ended, task_for

LABEL = "Requirements install"
HELP = (
    "The requirements are resolved and installed in a sandbox, from the index that serving environments are built "
    "from. An index that cannot be reached is an error and no finding about the version."
)
PARAMETERS = {
    "deadline_s": deadline_of(1_200),
    "memory_mb": MEMORY_MB,
    "disk_mb": GateParameter("whole", 10_240, "Disk that the packages may take.", "MB", 10, 200_000),
    "reuse_days": GateParameter(
        "whole", 7, "So long the result for the same requirements is taken again; 0: never.", "days", 0, 365
    ),
}
LOOKS_AT = ("digest", "evidence")
DEADLINE_S = 1_200
SHOWN_MAX = 400

__all__ = ["DEADLINE_S", "HELP", "LABEL", "LEASE_S", "LOOKS_AT", "PARAMETERS", "check"]


def check(given: GateInput) -> Found:
    version = given.version
    if not version.evidence.get("requirements"):
        return skipped("The version names no requirements; it runs in the platform's own environment.")
    kept = resolution_of(version, days=given.parameters["reuse_days"])
    if kept is not None:
        return _installed(kept.installed, kept.has_own_environment)
    line = ended(given, task_for(given, "install", disk_mb=given.parameters["disk_mb"]))
    if isinstance(line, Found):
        return line
    if not line.installed:
        return failed("The installer ended without installing anything.")
    resolution_keep(
        key=resolution_key(version),
        installed=line.installed,
        has_own_environment=line.has_own_environment,
        sandbox=line.sandbox,
    )
    return _installed(line.installed, line.has_own_environment)


def _installed(installed: list[str], has_own_environment: bool) -> Found:
    evidence: dict[str, Any] = {"packages": len(installed), "installed": installed[:SHOWN_MAX]}
    if has_own_environment:
        return passed(f"{len(installed)} packages resolve and install.", **evidence)
    return passed("The platform's own environment meets all requirements.", **evidence)
