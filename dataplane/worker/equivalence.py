"""The proof at load: is a native path equal to pyfunc bit for bit, and may requests be predicted together?

Rows come from the version's input example and from a generator with a fixed seed: near the example, far from it, and at
the edges of each type.
"""

import contextlib
import functools
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dataplane.worker.answers import Answer
from dataplane.worker.native.predictors import Signature
from dataplane.worker.native.request_forms import Forms, type_Row

ROWS = 24
SINGLES = 6
ROWS_FOR_TOGETHER_MIN = 4
GROUPS = 6  # as many times, at most, are all rows asked together
# A slow model gains little from a native path and must not start late for it: what would take longer is not begun.
NATIVE_MAX_S = 10.0
TOGETHER_MAX_S = 10.0
TRIES = 3
SCHEDULED = Path("/proc/thread-self/schedstat")
HOPELESS_FACTOR = 10
# Two orders of summation may differ in the last digits (BLAS chooses by shape); another batch mate's influence is
# larger.
RELATIVE_TOLERANCE = {4: 1e-4, 8: 1e-9}
EDGES: "dict[str, list[Any]]" = {
    "double": [0.0, -0.0, 1.0, -1.0, 1e-308, 1e15, -1e15, 0.1, 3],
    "float": [0.0, -0.0, 1.0, -1.0, 1e-30, 1e10, 0.1, 3],
    "long": [0, 1, -1, 2**31, 2**53 + 1, -(2**40)],
    "integer": [0, 1, -1, 2**31 - 1, -(2**31)],
    "boolean": [True, False],
    "string": ["", "a", "ä ß 漢", " x ", "0", "nan"],
}
WRONG: "list[Any]" = [None, "text", True, 2**31, 2**70, 1.5, [1.0]]


def fits(most_s: float, *asked: "tuple[Callable[[], Any], int]") -> bool:
    """Whether asking each so many times takes at most `most_s` in all.

    The quickest of some tries counts, without the time in which others had the processor: the answer is about the model
    alone.
    """
    spent = needed = 0.0
    for ask, times in asked:
        tries: list[float] = []
        while len(tries) < TRIES:
            tries.append(_seconds(ask))
            spent += tries[-1]
            if spent > most_s or tries[-1] * times > HOPELESS_FACTOR * most_s:
                return False
        needed += min(tries) * times
    return needed <= most_s


def _seconds(ask: Callable[[], Any]) -> float:
    began, stood = time.monotonic(), _stood_s()
    with contextlib.suppress(Exception):  # a refusal takes its time too
        ask()
    return time.monotonic() - began - (_stood_s() - stood)


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
            tuple(_value(draw, kind, [row[place] for row in example]) for place, kind in enumerate(signature.kinds))
        )
    edges = [[EDGES[kind][turn % len(EDGES[kind])] for kind in signature.kinds] for turn in range(3)]
    return rows + [tuple(row) for row in edges]


def _value(draw: random.Random, kind: str, seen: "list[Any]") -> Any:
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
    native: Callable[[bool, bytes], Answer],
    general: Callable[[bool, bytes], Answer],
) -> bool:
    """Take away from `forms` each form in which `native` answered anything but what `general` answered; return whether
    any is left.

    Both are called with (is it OIP, body). Values of wrong types are asked too: their errors must be the same.
    """
    groups = [rows, *([row] for row in rows[:SINGLES]), *([row] for row in rows[-3:]), *_spoiled(rows)]
    asked = {
        form: [(form.startswith("oip"), bodies(form, forms.names, group)) for group in groups] for form in forms.forms
    }
    together, alone = (functools.partial(general, *request) for request in asked[min(asked)][:2])
    # Each request is asked twice, natively and the general way; most of them are one row.
    if not fits(NATIVE_MAX_S, (alone, 2 * len(asked) * len(groups)), (together, 2 * len(asked))):
        forms.forms.clear()
    for form in sorted(forms.forms):
        if any(native(*request) != general(*request) for request in asked[form]):
            forms.forms.discard(form)
    return bool(forms.forms)


def _spoiled(rows: "list[type_Row]") -> "list[list[type_Row]]":
    """Requests with one value of a wrong type each, and a row that is too short."""
    spoiled = [[(*rows[0][:-1], wrong)] for wrong in WRONG]
    return [*spoiled, [rows[0], (*rows[1][:-1], None)]]


def is_independent(predict: Callable[[Any], Any], take: Callable[[list[int]], Any], count: int) -> bool:
    """Whether the result of a row is the same alone, with others, and in another order.

    `take` gives input rows by their numbers.

    Rows that the model refuses alone are left out; with fewer than `ROWS_FOR_TOGETHER_MIN` left there is no proof.
    """
    everything = list(range(count))
    if not fits(TOGETHER_MAX_S, (lambda: predict(take([0])), count), (lambda: predict(take(everything)), GROUPS)):
        return False
    alone: dict[int, Any] = {}
    for place in everything:
        try:
            alone[place] = _entries(predict(take([place])), 1)[0]
        except Exception:  # noqa: S112 - whatever a model raises: this row proves nothing
            continue
    places = list(alone)
    if len(places) < ROWS_FOR_TOGETHER_MIN:
        return False
    groups = [places, places[::-1], places[: len(places) // 2], places[1::2], [*places, *places]]
    try:
        return all(
            _is_close(entry, alone[place])
            for group in groups
            for place, entry in zip(group, _entries(predict(take(group)), len(group)), strict=True)
        )
    except Exception:
        return False


def _entries(result: Any, count: int) -> "list[Any]":
    """A result cut into one entry per row. Raises ValueError when it has another length."""
    if isinstance(result, pd.DataFrame):
        entries: list[Any] = result.to_dict(orient="records")
    elif isinstance(result, np.ndarray | pd.Series | list):
        entries = list(result)
    else:
        raise ValueError(f"{type(result).__name__} has no rows")
    if len(entries) != count:
        raise ValueError(f"{len(entries)} results for {count} rows")
    return entries


def _is_close(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_close(one[key], other[key]) for key in one)
    first, second = np.asarray(one), np.asarray(other)
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    if first.dtype.kind not in "fc":
        return bool(np.array_equal(first, second))
    tolerance = RELATIVE_TOLERANCE.get(first.dtype.itemsize, 1e-2)
    return bool(np.allclose(first, second, rtol=tolerance, atol=tolerance * 1e-3, equal_nan=True))
