"""Bodies for models whose signature is one tensor, or several with names."""

from collections.abc import Iterator
from typing import Any

from tests.dataplane.worker.differential_bodies import VALUES, Case, to_json

ROW = [1.0, 2.0, 3.0]


def tensor_cases() -> Iterator[Case]:
    """Yield bodies for one float32 tensor of shape (-1, 3)."""
    arrays: dict[str, Any] = {
        "one row": [ROW],
        "many rows": [ROW] * 40,
        "ints": [[1, 2, 3]],
        "empty": [],
        "an empty row": [[]],
        "flat": ROW,
        "too long": [[*ROW, 4.0]],
        "too short": [ROW[:2]],
        "ragged": [ROW, ROW[:2]],
        "deeper": [[ROW]],
        "deeper at one place": [ROW, [1.0, 2.0, [3.0]]],
        "objects": [{"a": 1.0, "b": 2.0, "c": 3.0}],
        "columns": {"a": [1.0], "b": [2.0], "c": [3.0]},
        "named 0 1 2": {"0": [1.0], "1": [2.0], "2": [3.0]},
        "one name": {"input": [ROW]},
        "not float32": [[1e300, 1.0, 1.0]],
        "not exact": [[16777217, 0.1, 1.0]],
    }
    for form in ("instances", "inputs"):
        for name, value in arrays.items():
            yield Case(f"{form}: {name}", to_json({form: value}))
        for name, value in VALUES.items():
            yield Case(f"{form} is {name}", to_json({form: value}))
            yield Case(f"{form}: row with {name}", to_json({form: [ROW, [1.0, value, 3.0]]}))
            yield Case(f"{form}: {name} for a row", to_json({form: [ROW, value]}))
    yield from _frames([ROW, ROW], ["a", "b", "c"])


def tensors_cases() -> Iterator[Case]:
    """Yield bodies for the tensors a, float64 of shape (-1, 2, 2), and b, int64 of shape (-1,)."""
    a, b = [[1.0, 2.0], [3.0, 4.0]], 7
    good = {"a": [a, a], "b": [b, b]}
    columns: dict[str, Any] = {
        "good": good,
        "other order": {"b": [b, b], "a": [a, a]},
        "one row": {"a": [a], "b": [b]},
        "without b": {"a": [a]},
        "without a": {"b": [b]},
        "a further one": {**good, "c": [1, 2]},
        "different lengths": {"a": [a, a], "b": [b]},
        "both empty": {"a": [], "b": []},
        "a flat": {**good, "a": [1.0, 2.0]},
        "a too narrow": {**good, "a": [[[1.0], [2.0]]] * 2},
        "a ragged": {**good, "a": [a, [[1.0, 2.0], [3.0]]]},
        "a deeper": {**good, "a": [[a], [a]]},
        "a of ints": {**good, "a": [[[1, 2], [3, 4]]] * 2},
        "b of floats": {**good, "b": [1.0, 2.0]},
        "b of fractions": {**good, "b": [1.5, 2.5]},
        "b nested": {**good, "b": [[1], [2]]},
        "b a scalar": {**good, "b": 7},
        "no names": [a, a],
        "objects": [{"a": a, "b": b}, {"a": a, "b": b}],
    }
    rows: dict[str, Any] = {
        "good": [{"a": a, "b": b}, {"a": a, "b": b}],
        "one row": [{"a": a, "b": b}],
        "a row lacks b": [{"a": a, "b": b}, {"a": a}],
        "all rows lack b": [{"a": a}],
        "a further one": [{"a": a, "b": b, "c": 1}],
        "a row with a further one": [{"a": a, "b": b}, {"a": a, "b": b, "c": 1}],
        "ragged": [{"a": a, "b": b}, {"a": [[1.0]], "b": b}],
        "empty": [],
        "an empty object": [{}],
        "columns": good,
        "lists": [[a, b]],
        "null between": [{"a": a, "b": b}, None],
    }
    yield from (Case(f"inputs: {name}", to_json({"inputs": value})) for name, value in columns.items())
    yield from (Case(f"instances: {name}", to_json({"instances": value})) for name, value in rows.items())
    for name, value in VALUES.items():
        yield Case(f"inputs: b has {name}", to_json({"inputs": {**good, "b": [b, value]}}))
        yield Case(f"inputs: a has {name}", to_json({"inputs": {**good, "a": [a, [[1.0, value], [3.0, 4.0]]]}}))
        yield Case(f"instances: b is {name}", to_json({"instances": [{"a": a, "b": b}, {"a": a, "b": value}]}))
    yield from _frames([[a, b], [a, b]], ["a", "b"])


def _frames(rows: list[list[Any]], names: list[str]) -> Iterator[Case]:
    records = [dict(zip(names, row, strict=True)) for row in rows]
    bodies = {
        "dataframe_split": {"columns": names, "data": rows},
        "dataframe_split, no columns": {"data": rows},
        "dataframe_records": records,
        "dataframe_records, empty": [],
    }
    yield from (Case(name, to_json({name.partition(",")[0]: body})) for name, body in bodies.items())
