"""What is found out before a version serves: is a native path equal to pyfunc bit for bit, and in which forms?

Rows come from the version's input example and from a generator with a fixed seed: near the example, far from it, and at
the edges of each type.
"""

import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dataplane.worker.answers import Answer
from dataplane.worker.native.predictors import Signature
from dataplane.worker.native.request_forms import Forms, type_Row

ROWS = 24
SINGLES = 6
# Of a slower model a native path would save nothing that its clients could notice.
SLOW_PREDICTION_S = 0.1
TRIES = 3
# Against models that have become slow since: a bound far above what the proof takes of one that is not.
NATIVE_MAX_S = 120.0
SCHEDULED = Path("/proc/thread-self/schedstat")
# Two orders of summation may differ in the last digits (BLAS chooses by shape); another batch mate's influence is
# larger. The first is for numbers that were float32.
RELATIVE_TOLERANCE = (1e-4, 1e-9)
EDGES: "dict[str, list[Any]]" = {
    "double": [0.0, -0.0, 1.0, -1.0, 1e-308, 1e15, -1e15, 0.1, 3],
    "float": [0.0, -0.0, 1.0, -1.0, 1e-30, 1e10, 0.1, 3],
    "long": [0, 1, -1, 2**31, 2**53 + 1, -(2**40)],
    "integer": [0, 1, -1, 2**31 - 1, -(2**31)],
    "boolean": [True, False],
    "string": ["", "a", "ä ß 漢", " x ", "0", "nan"],
}
WRONG: "list[Any]" = [None, "text", True, 2**31, 2**70, 1.5, [1.0]]


class Stopwatch:
    """Time since it was made, without the time in which others had the processor: it is about the model alone."""

    def __init__(self) -> None:
        self._began, self._stood_s = time.monotonic(), _stood_s()

    def seconds(self) -> float:
        """What it shows."""
        return time.monotonic() - self._began - (_stood_s() - self._stood_s)


def too_slow(ask: Callable[[], Any]) -> str:
    """Why a model is too slow for a native path to be of use; empty when it is not. The quickest of some tries counts.

    So it is a property of the model: a machine that is busy with others makes a try slower, not all of them.
    """
    quickest = math.inf
    for _ in range(TRIES):
        watch = Stopwatch()
        ask()
        quickest = min(quickest, watch.seconds())
        if quickest <= SLOW_PREDICTION_S:
            return ""
    return f"one prediction takes {quickest:.2g} s: a quicker way to ask would save nothing"


def _stood_s() -> float:
    """How long this thread has stood ready without a processor, 0 where the system does not tell."""
    try:
        return int(SCHEDULED.read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def rows_for(signature: Signature, example: "list[type_Row]") -> "list[type_Row]":
    """The rows of the proof: those of the example first, then generated ones."""
    draw = random.Random(20)  # noqa: S311 - the same rows in every start
    rows = list(example[: ROWS // 3])
    while len(rows) < ROWS - 3:
        rows.append(
            tuple(drawn(draw, kind, [row[place] for row in example]) for place, kind in enumerate(signature.kinds))
        )
    edges = [[EDGES[kind][turn % len(EDGES[kind])] for kind in signature.kinds] for turn in range(3)]
    return rows + [tuple(row) for row in edges]


def drawn(draw: random.Random, kind: str, seen: "list[Any]") -> Any:
    """A value of a plain type, near those that were seen or far from them."""
    base = draw.choice(seen) if seen else None
    if kind in ("double", "float"):
        centre = float(base) if base is not None else draw.uniform(-10, 10)
        return centre * draw.choice([1.0, draw.gauss(1, 0.3), draw.gauss(1, 3)]) + draw.choice([0.0, draw.gauss(0, 1)])
    if kind in ("long", "integer"):
        return int(base if base is not None else draw.randint(-100, 100)) + draw.randint(-3, 3)
    return draw.choice(seen) if seen and draw.random() < 0.8 else draw.choice(EDGES[kind])


def bodies(form: str, names: "list[str]", rows: "list[type_Row]") -> bytes:
    """The request in one form that carries `rows`."""
    records = [dict(zip(names, row, strict=True)) for row in rows]
    columns: dict[str, list[Any]] = {name: [record[name] for record in records] for name in names}
    tensors = [
        {"name": name, "shape": [len(rows)], "datatype": "FP64", "data": values} for name, values in columns.items()
    ]
    flat = [value for row in rows for value in row]
    matrix = {"name": "rows", "shape": [len(rows), len(names)], "datatype": "FP64", "data": flat}
    forms: dict[str, Any] = {
        "dataframe_split": {"dataframe_split": {"columns": names, "data": [list(row) for row in rows]}},
        "dataframe_records": {"dataframe_records": records},
        "instances": {"instances": records},
        "inputs": {"inputs": columns},
        "oip_matrix": {"inputs": [matrix], "id": "proof"},
        "oip_columns": {"inputs": tensors},
    }
    return json.dumps(forms[form]).encode()


def prove(
    forms: Forms,
    rows: "list[type_Row]",
    native: Callable[[bool, bytes], "Answer | None"],
    general: Callable[[bool, bytes], Answer],
    most_s: float = NATIVE_MAX_S,
) -> "dict[str, str]":
    """Take away from `forms` each form in which `native` answered anything but what `general` answered; say of each
    why.

    Both are called with (is it OIP, body); `native` gives None for what it leaves to the general way. Values of wrong
    types are asked too: their errors must be the same. All forms are asked the same before any is asked more.
    """
    groups = [rows, *([row] for row in rows[:SINGLES]), *([row] for row in rows[-3:]), *_spoiled(rows)]
    given_up: dict[str, str] = {}
    answered: Counter[str] = Counter()
    watch = Stopwatch()
    for group in groups:
        for form in sorted(forms.forms - given_up.keys()):
            request = form.startswith("oip"), bodies(form, forms.names, group)
            if watch.seconds() > most_s:
                given_up |= dict.fromkeys(forms.forms - given_up.keys(), f"not decided within {most_s:g} s")
                break
            answer = native(*request)
            answered[form] += answer is not None
            if answer is not None and answer != (wanted := general(*request)):
                given_up[form] = _difference(answer, wanted, len(group))
    unused = {form for form in forms.forms - given_up.keys() if not answered[form]}
    given_up |= dict.fromkeys(unused, "no request in it was answered natively")
    forms.forms -= given_up.keys()
    return given_up


def _difference(answer: Answer, wanted: Answer, rows: int) -> str:
    asked = "one row" if rows == 1 else f"{rows} rows"
    if answer.status != wanted.status:
        return f"{asked} were answered with status {answer.status} instead of {wanted.status}"
    return f"{asked} were answered with other bytes than MLflow's"


def still_holds(
    forms: Forms,
    row: type_Row,
    native: Callable[[bool, bytes], "Answer | None"],
    general: Callable[[bool, bytes], Answer],
) -> bool:
    """The cheap look at a start that has been told what was proved: one request in each form."""
    asked = [(form.startswith("oip"), bodies(form, forms.names, [row])) for form in sorted(forms.forms)]
    return all(native(*request) == general(*request) for request in asked)


def _spoiled(rows: "list[type_Row]") -> "list[list[type_Row]]":
    """Requests with one value of a wrong type each, and a row that is too short."""
    spoiled = [[(*rows[0][:-1], wrong)] for wrong in WRONG]
    return [*spoiled, [rows[0], (*rows[1][:-1], None)]]


def is_close(one: Answer, other: Answer, scale: float = 0.0) -> bool:
    """Whether two answers to one request are the same but for the last digits of their numbers.

    `scale` is how large the model's numbers are: one that is small beside it is made of larger ones, and so are the
    last digits that it may differ in.
    """
    if one[:1] + one[2:] != other[:1] + other[2:]:
        return False
    if one.body == other.body:
        return True
    try:
        return _is_close(json.loads(one.body), json.loads(other.body), scale)
    except (ValueError, RecursionError):
        return False


def scale_of(answer: Answer) -> float:
    """The largest finite number of an answer, 0 without any."""
    try:
        return _largest(json.loads(answer.body))
    except (ValueError, RecursionError):
        return 0.0


def _largest(value: Any) -> float:
    if isinstance(value, dict | list):
        return max(map(_largest, value.values() if isinstance(value, dict) else value), default=0.0)
    return abs(value) if isinstance(value, float) and math.isfinite(value) else 0.0


def _is_close(one: Any, other: Any, scale: float) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_close(one[key], other[key], scale) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_is_close(*pair, scale) for pair in zip(one, other, strict=True))
    if isinstance(one, float) and isinstance(other, float):
        with np.errstate(over="ignore"):
            was_float32 = all(float(np.float32(value)) == value for value in (one, other))
        tolerance = RELATIVE_TOLERANCE[0 if was_float32 else 1]
        is_missing = math.isnan(one) and math.isnan(other)
        return is_missing or math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance * scale / 10)
    # Numbers of either kind: a missing value makes floating-point numbers of its mates' integers.
    return bool(one == other)
