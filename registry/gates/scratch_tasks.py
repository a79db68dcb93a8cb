"""What the gates that run something share: the task for a version, and how the end of its run is read."""

from typing import Any

from dataplane.wire.sandbox import LEVELS
from dataplane.wire.scratch import ScratchLine, ScratchTask
from registry import artifacts
from registry.evidence.scratch_runs import NotRun, scratch_run
from registry.gates.base import Found, GateInput, erred, failed
from registry.gates.parameters import GateParameter

LEASE_S = 30  # a run says something every few seconds
CLEAR_UP_S = 20  # of the gate's time, for the run to end
MEMORY_MB = GateParameter("whole", 2048, "Memory that the run may take.", "MB", 128, 65_536)


def deadline_of(seconds: int) -> GateParameter:
    """The gate's own deadline as a parameter, with its usual value."""
    return GateParameter("whole", seconds, "How long the gate may take.", "s", 30, 7_200)


def task_for(given: GateInput, kind: Any, **values: Any) -> ScratchTask:
    """The task for the version, with what its gate sets besides."""
    version = given.version
    return ScratchTask(
        kind=kind,
        within_s=max(10, int(given.parameters["deadline_s"]) - CLEAR_UP_S),
        requirements=list(version.evidence.get("requirements", [])),
        build_requirements=list(version.evidence.get("build_requirements", [])),
        python=version.evidence.get("python", ""),
        model=version.model.name,
        version=str(version.number),
        digest=version.digest,
        artifacts=str(artifacts.path_of(version.digest)) if version.digest else "",
        memory_mb=given.parameters["memory_mb"],
        sandbox_level_min=next(level for level in LEVELS if level == given.policy.sandbox_level_min),
        **values,
    )


def ended(given: GateInput, task: ScratchTask) -> ScratchLine | Found:
    """The last line of a run that did its task, or what the gate finds because it did not."""
    try:
        line = scratch_run(task, given.progress)
    except NotRun as error:
        return erred(error.message)
    if line.end == "unable":
        return erred(line.sentence)
    if line.end == "failed":
        return failed(line.sentence)
    return line


def why_not_served(given: GateInput) -> str:
    """Why no worker can be started of the version, empty when one can."""
    digest = given.version.digest
    if not digest or not artifacts.path_of(digest).is_dir():
        return "The artifacts are not in the store, so no worker can load them."
    return ""
