"""The version's own input example is answered in the serving process: without an error, without missing values, the
same each time, and as was recorded with the version where something was.
"""

import json
from dataclasses import replace
from typing import Any

from dataplane.wire.scratch import BODY_SENT_MAX_CHARS
from registry import artifacts
from registry.artifact_reading import NotRead, example_output_of
from registry.evidence.example_answers import NotRight, columns_problem, missing_places, predictions_of, rows_of, unlike
from registry.gates.base import Found, GateInput, erred, failed, passed, warned
from registry.gates.parameters import GateParameter
from registry.gates.scratch_tasks import LEASE_S, MEMORY_MB, deadline_of, ended, task_for, why_not_served

LABEL = "Input example answers"
HELP = (
    "A worker without any route loads the version and is asked its own input example twice. Errors, missing values and "
    "answers that differ fail; where the version carries serving_output_example.json, the answer has to agree with it."
)
PARAMETERS = {
    "deadline_s": deadline_of(600),
    "memory_mb": MEMORY_MB,
    "tolerance": GateParameter("number", 1e-6, "Relative difference that two answers may have.", "", 0, 1),
    "missing": GateParameter(
        "choice", "refuse", "What an answer without a value (NaN, null) does.", choices=("refuse", "allow")
    ),
}
LOOKS_AT = ("digest", "evidence", "signature")
DEADLINE_S = 600
PATIENCE_MS = 60_000  # for one answer

__all__ = ["DEADLINE_S", "HELP", "LABEL", "LEASE_S", "LOOKS_AT", "PARAMETERS", "check"]


def check(given: GateInput) -> Found:
    if why := why_not_served(given):
        return failed(why)
    example = given.version.evidence.get("input_example")
    if example is None:
        return failed("The version has no input example that can be read, so there is nothing to ask.")
    body = json.dumps(example)
    if len(body) > BODY_SENT_MAX_CHARS:
        return failed("The input example is too long to be asked.")
    try:
        recorded = example_output_of(artifacts.path_of(given.version.digest))
    except NotRead as error:
        return erred(error.message)
    line = ended(given, task_for(given, "answer", body=body, patience_ms=PATIENCE_MS))
    if isinstance(line, Found):
        return line
    try:
        one, other = [predictions_of(answer.status, answer.body, answer.is_cut) for answer in line.answers]
    except NotRight as error:
        return failed(str(error))
    except ValueError:
        return erred("The run did not tell two answers.")
    found = _judged(given, example, (one, other), recorded)
    return replace(found, evidence={**found.evidence, "sandbox": line.sandbox})


def _judged(given: GateInput, example: Any, answers: tuple[Any, Any], recorded: Any) -> Found:
    tolerance = given.parameters["tolerance"]
    one, other = answers
    if why := columns_problem(one, (given.version.signature or {}).get("outputs")):
        return failed(why)
    if difference := unlike(one, other, tolerance):
        return failed(f"The same request is answered differently: {difference.sentence}.", place=difference.place)
    if recorded is not None:
        if difference := unlike(one, recorded, tolerance):
            words = f"The answer is not the one that was recorded: {difference.sentence}."
            return failed(words, place=difference.place)
    elif given.parameters["missing"] == "refuse" and (place := next(missing_places(one), None)) is not None:
        return failed(f"The answer has no value (NaN or null) at {place.lstrip('.') or 'the top'}.", place=place)
    asked, answered = rows_of(example), rows_of(one)
    if recorded is None and asked is not None and answered is not None and asked != answered:
        return warned(f"{asked} rows are asked and {answered} answered.", asked=asked, answered=answered)
    if recorded is not None:
        return passed("The input example is answered as was recorded.", compared="recorded")
    words = "The input example is answered, twice the same; no answer was recorded with the version."
    return passed(words, compared="twice")
