"""Gates: automatic checks that leave evidence. One file per gate; a policy names those that run."""

import time
from collections.abc import Iterable
from dataclasses import replace

from registry.artifact_facts import storable
from registry.gates import (
    artifact_format,
    artifact_signed,
    cost_within_quota,
    digest_known,
    external_check,
    guardrails_present,
    input_example_answers,
    input_example_present,
    known_vulnerabilities,
    load_test,
    metadata_complete,
    not_taken_back,
    objectives_exist,
    offline_metrics,
    plan_concludes,
    proven_before,
    reproducible,
    requirements_install,
    requirements_valid,
    signature_compatible,
    signature_present,
    tooling_compatible,
    version_ready,
)
from registry.gates.base import Found, Gate, GateInput, GateOutcomeRow, NotYet, Stopped, erred, gate_of

__all__ = ["GATES", "Found", "Gate", "GateInput", "GateOutcomeRow", "NotYet", "look", "run"]

SENTENCE_MAX_CHARS = 500
ERROR_MAX_CHARS = 300

_MODULES = (
    version_ready,
    digest_known,
    signature_present,
    input_example_present,
    metadata_complete,
    requirements_valid,
    artifact_format,
    guardrails_present,
    not_taken_back,
    reproducible,
    tooling_compatible,
    signature_compatible,
    offline_metrics,
    proven_before,
    objectives_exist,
    cost_within_quota,
    plan_concludes,
    requirements_install,
    input_example_answers,
    known_vulnerabilities,
    artifact_signed,
    load_test,
    external_check,
)
GATES: dict[str, Gate] = {gate.name: gate for gate in map(gate_of, _MODULES)}


def look(name: str, given: GateInput) -> Found:
    """What one gate finds. A gate that raises or that nobody knows is an error, which refuses a release as a failure
    does. Raises NotYet and Stopped.
    """
    gate = GATES.get(name)
    if gate is None:
        return erred(f"There is no gate {name[:60]!r} in this version of mlorch.")
    try:
        found = _storable(gate.check(replace(given, parameters=gate.settings(given.policy))))
    except (NotYet, Stopped):
        raise
    except Exception as error:
        words = f"The gate could not look: {type(error).__name__}: {str(error)[:ERROR_MAX_CHARS]}"
        found = _storable(erred(words))
    return found


def _storable(found: Found) -> Found:
    """The finding as every database takes it: what a gate read may be hostile. Raises ValueError."""
    sentence = str(storable(found.sentence))[:SENTENCE_MAX_CHARS]
    return replace(found, sentence=sentence, evidence=storable(found.evidence))


def run(names: Iterable[str], given: GateInput) -> list[GateOutcomeRow] | None:
    """Run the named gates and keep nothing; None when one of them still waits for something that is under way."""
    rows = []
    for name in names:
        began = time.perf_counter()
        try:
            found = look(name, given)
        except NotYet:
            return None
        duration_ms = int((time.perf_counter() - began) * 1000)
        rows.append(GateOutcomeRow(name, found.outcome, found.sentence, found.evidence, duration_ms))
    return rows
