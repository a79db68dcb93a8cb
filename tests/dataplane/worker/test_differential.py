"""The same bodies to MLflow's scoring server and to the worker: status, media type and body of the answers are the
same.

The wanted differences are in one table, `INTENDED`. Each body is asked alone and in one frame with others.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.dataplane.worker import differential_models as models
from tests.dataplane.worker.differential_bodies import (
    JSON,
    Case,
    Table,
    digits_cases,
    envelope_cases,
    shape_cases,
    value_cases,
)
from tests.dataplane.worker.differential_servers import OurWorker, Reply, both
from tests.dataplane.worker.differential_tensors import tensor_cases, tensors_cases
from tests.dataplane.worker.differential_texts import broken_cases, content_type_cases, csv_cases

TOGETHER = 64
SHOWN = 60
MODEL_RAISED = "Encountered an unexpected error while evaluating the model."
NOT_READ = "Failed to parse input as a Pandas DataFrame."


def table_cases(table: Table) -> Iterator[Case]:
    for cases in (value_cases, digits_cases, shape_cases, envelope_cases, broken_cases, csv_cases):
        yield from cases(table)


CASES: dict[str, Callable[[], list[Case]]] = {
    "doubles": lambda: [*table_cases(models.DOUBLES), *content_type_cases(models.DOUBLES)],
    "plain": lambda: [*table_cases(models.PLAIN), *content_type_cases(models.PLAIN)],
    "mixed": lambda: list(table_cases(models.MIXED)),
    "tensor": lambda: [*tensor_cases(), *content_type_cases(models.DOUBLES)],
    "tensors": lambda: list(tensors_cases()),
    "bare": lambda: list(table_cases(models.PLAIN)),
}
# What the worker finds out at load: the native path, and whether requests may go together.
# Those without an example of a table are on trial with real requests before theirs are joined.
PROFILES = {
    "doubles": ("array", True),
    "plain": ("frame", True),
    **dict.fromkeys(("bare", "tensor", "tensors"), ("", False)),
}


class Difference(NamedTuple):
    """A wanted difference: where it is expected, and whether the worker's answer is what is wanted there."""

    applies: Callable[[Case, Reply], bool]
    holds: Callable[[Reply, Reply], bool]


def _content(reply: Reply) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(reply.body)
    return content


def _says(theirs: Reply, message: str) -> bool:
    return theirs.media_type == JSON and theirs.status == 400 and _content(theirs)["message"].startswith(message)


def _is_unreadable(case: Case) -> bool:
    """Whether Python's JSON parser fails on the body with anything but its own error: too deep, too many digits."""
    try:
        json.loads(case.body)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return False
    except (RecursionError, ValueError):
        return True
    return False


def _tells_what_the_model_raised(theirs: Reply, ours: Reply) -> bool:
    content = _content(theirs)
    name, _, text = content.pop("stack_trace").rstrip().rpartition("\n")[2].partition(": ")
    content["message"] += f" The model raised {name.rpartition('.')[2]}: {text}"
    return ours == Reply(400, JSON, json.dumps(content).encode(), "server_error")


def _lacks_only_the_stack_trace(theirs: Reply, ours: Reply) -> bool:
    content = _content(theirs)
    del content["stack_trace"]
    return ours == Reply(400, JSON, json.dumps(content).encode(), "client_error")


def _refuses_as_the_clients_error(_: Reply, ours: Reply) -> bool:
    return ours[:2] == (400, JSON) and ours.outcome == "client_error" and _content(ours)["error_code"] == "BAD_REQUEST"


def _tells_that_the_answer_has_no_json(_: Reply, ours: Reply) -> bool:
    return ours[:2] == (500, JSON) and ours.outcome == "server_error" and "TypeError: " in _content(ours)["message"]


def _has_no_rows(case: Case) -> bool:
    try:
        content = json.loads(case.body)
    except ValueError:
        return case.content_type.startswith("text/csv") and case.body.count(b"\n") <= 1 if case.content_type else False
    if not isinstance(content, dict):
        return False
    split = content.get("dataframe_split")
    forms = [content[form] for form in ("dataframe_records", "instances", "inputs") if form in content]
    rows = [split.get("data")] if isinstance(split, dict) else forms
    return any(part in ([], None) or (isinstance(part, dict) and part and not any(part.values())) for part in rows)


def _is_the_clients_error(theirs: Reply, ours: Reply) -> bool:
    return (
        _tells_what_the_model_raised(theirs, ours._replace(outcome="server_error")) and ours.outcome == "client_error"
    )


def _with_null(body: bytes) -> bytes:
    """The body without Python's own literals."""
    try:
        seen: list[str] = []
        content = json.loads(body, parse_constant=seen.append)
    except (ValueError, RecursionError):
        return body
    return json.dumps(content).encode() if seen else body


# Where several apply, the first counts.
INTENDED = {
    "NaN and the infinities are null, unless the serving config asks for Python's literals": Difference(
        lambda _, theirs: theirs.status == 200 and _with_null(theirs.body) != theirs.body,
        lambda theirs, ours: ours == theirs._replace(body=_with_null(theirs.body)),
    ),
    "a batch without rows on which the model fails is the client's error": Difference(
        lambda case, theirs: _says(theirs, MODEL_RAISED) and _has_no_rows(case), _is_the_clients_error
    ),
    "a model's failure is told by what it raised, without the stack trace, and is not the client's error": Difference(
        lambda _, theirs: _says(theirs, MODEL_RAISED), _tells_what_the_model_raised
    ),
    "a table that cannot be read is refused without the stack trace": Difference(
        lambda _, theirs: _says(theirs, NOT_READ), _lacks_only_the_stack_trace
    ),
    "MLflow's server crashes without a content type; the worker refuses it like an unknown one": Difference(
        lambda case, theirs: case.content_type is None and theirs.status == 500,
        lambda _, ours: ours[:2] == (415, "text/plain") and ours.outcome == "client_error",
    ),
    "MLflow's server crashes on JSON that is too deep or has too many digits; the worker refuses it": Difference(
        lambda case, theirs: theirs.status == 500 and _is_unreadable(case), _refuses_as_the_clients_error
    ),
    "MLflow's server crashes when the model's answer has no JSON form; the worker says so": Difference(
        lambda _, theirs: theirs.status == 500, _tells_that_the_answer_has_no_json
    ),
}


def is_as_wanted(case: Case, theirs: Reply, ours: Reply) -> bool:
    for difference in INTENDED.values():
        if difference.applies(case, theirs):
            return difference.holds(theirs, ours)
    outcome = "client_error" if theirs.status >= 400 else None
    return ours == theirs._replace(outcome=outcome)


def told(case: Case, **replies: Reply) -> str:
    lines = [f"{case.name}\n    asked:  {case.body[:160]!r} as {case.content_type!r}"]
    lines += [
        f"    {who}: {reply.status} {reply.media_type} {reply.outcome} {reply.body[:400]!r}"
        for who, reply in replies.items()
    ]
    return "\n".join(lines)


def report(differences: list[str]) -> str:
    return "\n".join([f"{len(differences)} answers differ", *differences[:SHOWN]])


def together(worker: OurWorker, cases: list[Case]) -> list[Reply]:
    return [
        reply
        for begin in range(0, len(cases), TOGETHER)
        for reply in worker.ask_together(cases[begin : begin + TOGETHER])
    ]


@pytest.mark.slow
@pytest.mark.parametrize("model", list(models.SAVE))
def test_invocations__each_body_alone_and_with_others__answered_as_mlflow_does(model: str, tmp_path: Path) -> None:
    models.SAVE[model](tmp_path / "model")
    cases = CASES[model]()
    in_json = [case for case in cases if case.content_type == JSON]

    with both(tmp_path / "model", tmp_path) as (mlflow, worker, profile):
        wanted = [mlflow.ask(case) for case in cases]
        seen = [worker.ask(case) for case in cases]
        seen_together = together(worker, in_json)

    assert (profile["native"], profile["joins"]) == PROFILES.get(model, ("", True))
    alone = dict(zip(cases, seen, strict=True))
    differing = [
        told(case, MLflow=theirs, worker=ours)
        for case, theirs, ours in zip(cases, wanted, seen, strict=True)
        if not is_as_wanted(case, theirs, ours)
    ]
    differing += [
        told(case, alone=alone[case], together=ours)
        for case, ours in zip(in_json, seen_together, strict=True)
        if ours != alone[case]
    ]
    assert not differing, report(differing)


def test_cases__of_each_model__have_different_names() -> None:
    for cases in CASES.values():
        names = [case.name for case in cases()]
        assert len(names) == len(set(names))


def test_intended__stack_trace_kept__is_a_difference() -> None:
    content = {
        "error_code": "BAD_REQUEST",
        "message": MODEL_RAISED,
        "stack_trace": "Traceback …\nValueError: negative\n",
    }
    theirs = Reply(400, JSON, json.dumps(content).encode())
    message = f"{MODEL_RAISED} The model raised ValueError: negative"
    wanted = json.dumps({"error_code": "BAD_REQUEST", "message": message}).encode()

    assert is_as_wanted(Case("", b""), theirs, Reply(400, JSON, wanted, "server_error"))
    assert not is_as_wanted(Case("", b""), theirs, theirs._replace(outcome="server_error"))
    assert not is_as_wanted(Case("", b""), theirs, Reply(400, JSON, wanted, "client_error"))
