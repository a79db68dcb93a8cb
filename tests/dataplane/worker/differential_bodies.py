"""Good and bad bodies of MLflow's scoring protocol, made systematically: the same for every model with a table for its
signature.
"""

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

JSON, CSV = "application/json", "text/csv"


class Case(NamedTuple):
    """One request; `content_type` None is a request without that header."""

    name: str
    body: bytes
    content_type: str | None = JSON


@dataclass(frozen=True)
class Table:
    """Good rows of a signature's columns.

    Wrong values are tried in `varied`; `params` are good and bad values by name.
    """

    columns: dict[str, list[Any]]
    varied: list[str]
    doubles: list[str]
    optional: list[str] = field(default_factory=list)
    params: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return list(self.columns)

    @property
    def rows(self) -> list[list[Any]]:
        return [list(row) for row in zip(*self.columns.values(), strict=True)]


def literal(text: str) -> str:
    """A marker that `to_json` writes as this very text, for literals that Python has no value for."""
    return f"<<{text}>>"


def to_json(value: Any) -> bytes:
    return re.sub(r'"<<(.*?)>>"', lambda found: found[1].replace('\\"', '"'), json.dumps(value)).encode()


# Each is put in the place of a good value. Their names are what they look like.
VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "zero": 0,
    "minus zero": literal("-0"),
    "minus zero, float": -0.0,
    "one": 1,
    "minus one": -1,
    "one, float": 1.0,
    "fraction": 1.5,
    "exponent": literal("1E2"),
    "small exponent": literal("1e-2"),
    "int 2**31": 2**31,
    "int 2**53": 2**53,
    "int 2**53 + 1": 2**53 + 1,
    "int 2**63 - 1": 2**63 - 1,
    "int 2**63": 2**63,
    "int 2**64": 2**64,
    "int 2**70": 2**70,
    "int of 400 digits": literal("1" + "0" * 400),
    "int of 5000 digits": literal("1" * 5000),
    "float 1e300": 1e300,
    "float 1e400": literal("1e400"),
    "denormal": 5e-324,
    "60 decimals": literal("0.1000000000000000055511151231257827021181583404541015625"),
    "half way": literal("9007199254740993.0"),
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "-Infinity": float("-inf"),
    "text": "text",
    "text of a number": "1.5",
    "text of an int": "2",
    "text of true": "true",
    "text NaN": "NaN",
    "empty text": "",
    "text 漢字": "漢 字 ü \u0000 \U0001f600",
    "lone surrogate": "\ud800",
    "date": "2026-01-31",
    "date and time": "2026-01-31T12:30:00",
    "date and time, zone": "2026-01-31T12:30:00+02:00",
    "date, impossible": "2026-02-30",
    "date, US": "01/31/2026",
    "base64": "YWJj",
    "list": [1.0],
    "empty list": [],
    "nested list": [[1.0, 2.0], [3.0]],
    "object": {"a": 1},
    "empty object": {},
}


def _records(names: list[str], rows: list[list[Any]]) -> Any:
    return [dict(zip(names, row, strict=False)) for row in rows]


def _split(names: list[str], rows: list[list[Any]]) -> Any:
    return {"columns": names, "data": rows}


def _inputs(names: list[str], rows: list[list[Any]]) -> Any:
    return {name: [row[place] for row in rows if place < len(row)] for place, name in enumerate(names)}


FORMS: dict[str, Callable[[list[str], list[list[Any]]], Any]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _records,
    "inputs": _inputs,
}


def value_cases(table: Table) -> Iterator[Case]:
    """Yield each value in each varied column and form: in two forms as the only row, in the others between good
    rows.
    """
    for turn, (form, encode) in enumerate(FORMS.items()):
        for column in table.varied:
            place = table.names.index(column)
            for name, value in VALUES.items():
                changed = [*table.rows[0][:place], value, *table.rows[0][place + 1 :]]
                turn += 1
                rows = [changed] if turn % 2 else [table.rows[1], changed, table.rows[2]]
                company = "alone" if turn % 2 else "among others"
                yield Case(f"{form}: {column}={name}, {company}", to_json({form: encode(table.names, rows)}))
            nothing = [[*row[:place], None, *row[place + 1 :]] for row in table.rows]
            yield Case(f"{form}: {column} all null", to_json({form: encode(table.names, nothing)}))


def digits_cases(table: Table) -> Iterator[Case]:
    """Yield numbers with few and many digits, large and small, in columns of floating-point numbers."""
    draw = random.Random(3)
    numbers = [draw.choice([1, -1]) * draw.random() * 10.0 ** draw.randint(-30, 30) for _ in range(60)]
    texts = [literal(f"{number:.{draw.choice([3, 15, 16, 17, 18, 25, 40])}g}") for number in numbers]
    for column in table.doubles:
        place = table.names.index(column)
        rows = [[*table.rows[0][:place], text, *table.rows[0][place + 1 :]] for text in texts]
        for form, encode in FORMS.items():
            yield Case(f"{form}: {column} with many digits", to_json({form: encode(table.names, rows)}))


def _shapes(table: Table) -> Iterator[tuple[str, list[str], list[list[Any]]]]:
    """Yield names and rows that have all forms in common."""
    names, rows = table.names, table.rows
    for count in (0, 1, 2, 3, 60):
        yield f"{count} rows", names, (rows * 20)[:count]
    for name in names:
        place = names.index(name)
        yield f"without {name}", names[:place] + names[place + 1 :], [row[:place] + row[place + 1 :] for row in rows]
    if table.optional:
        kept = [place for place, name in enumerate(names) if name not in table.optional]
        yield "without optional columns", [names[place] for place in kept], [[row[p] for p in kept] for row in rows]
    yield "a further column", [*names, "further"], [[*row, 1.0] for row in rows]
    yield "a further column first", ["further", *names], [["x", *row] for row in rows]
    yield "two further columns", [*names, "further", "another"], [[*row, 1.0, None] for row in rows]
    yield "other order", names[::-1], [row[::-1] for row in rows]
    yield "a column twice", [*names, names[0]], [[*row, row[0]] for row in rows]
    yield "a column twice instead of another", [*names[:-1], names[0]], rows
    yield "other names", [f"{name}_" for name in names], rows
    yield "names in upper case", [name.upper() for name in names], rows
    yield "numbers for names", [str(place) for place in range(len(names))], rows
    yield "no columns", [], [[], []]
    yield "a row too long", names, [rows[0], [*rows[1], 1.0]]
    yield "a row too short", names, [rows[0], rows[1][:-1]]
    yield "all rows too short", names, [row[:-1] for row in rows]
    yield "all rows too long", names, [[*row, 1.0] for row in rows]
    yield "a row empty", names, [rows[0], []]


def shape_cases(table: Table) -> Iterator[Case]:
    """Yield wrong and right shapes: those that all forms can have, then those of each form."""
    for form, encode in FORMS.items():
        for name, names, rows in _shapes(table):
            yield Case(f"{form}: {name}", to_json({form: encode(names, rows)}))
        for name, value in {**VALUES, "list of lists": table.rows, "list of nulls": [None, None]}.items():
            yield Case(f"{form} is {name}", to_json({form: value}))
    yield from _split_cases(table)
    yield from _record_cases(table)
    yield from _inputs_cases(table)


def _split_cases(table: Table) -> Iterator[Case]:
    names, rows = table.names, table.rows
    good = {"columns": names, "data": rows}
    bodies: dict[str, Any] = {
        "index 0 1 2": {**good, "index": [0, 1, 2]},
        "index first": {"index": [0, 1, 2], **good},
        "index of texts": {**good, "index": ["a", "b", "c"]},
        "index twice": {**good, "index": [7, 7, 7]},
        "index too short": {**good, "index": [0]},
        "index null": {**good, "index": None},
        "index a number": {**good, "index": 3},
        "data first": {"data": rows, "columns": names},
        "no data": {"columns": names},
        "no columns named": {"data": rows},
        "columns null": {**good, "columns": None},
        "columns a text": {**good, "columns": names[0]},
        "columns nested": {**good, "columns": [names]},
        "columns with null": {**good, "columns": [*names[:-1], None]},
        "columns numbers": {**good, "columns": list(range(len(names)))},
        "data null": {**good, "data": None},
        "data flat": {**good, "data": rows[0]},
        "data of objects": {**good, "data": _records(names, rows)},
        "data an object": {**good, "data": _inputs(names, rows)},
        "data with a null row": {**good, "data": [rows[0], None]},
        "data nested once more": {**good, "data": [rows]},
        "unknown key": {**good, "dtype": "float"},
        "upper-case keys": {"Columns": names, "Data": rows},
    }
    for name, body in bodies.items():
        yield Case(f"dataframe_split: {name}", to_json({"dataframe_split": body}))


def _record_cases(table: Table) -> Iterator[Case]:
    names, records = table.names, _records(table.names, table.rows)
    short = {name: value for name, value in records[1].items() if name != names[-1]}
    bodies: dict[str, Any] = {
        "one object": records[0],
        "a row lacks a column": [records[0], short],
        "the first row lacks a column": [short, records[0]],
        "a row has a further column": [records[0], {**records[1], "further": 1}],
        "rows in different orders": [records[0], dict(reversed(records[1].items()))],
        "null between": [records[0], None, records[1]],
        "list between": [records[0], table.rows[1]],
        "number between": [records[0], 1],
        "empty object between": [records[0], {}],
        "lists": table.rows,
        "nested once more": [records],
        "numbers": [1.0, 2.0, 3.0],
        "texts": ["a", "b"],
        "empty objects": [{}, {}],
    }
    for form in ("dataframe_records", "instances"):
        for name, body in bodies.items():
            yield Case(f"{form}: {name}", to_json({form: body}))
        twice = to_json(records[0])[:-1] + b", " + to_json({names[0]: table.rows[1][0]})[1:]
        yield Case(f"{form}: a key twice", b'{"' + form.encode() + b'": [' + twice + b"]}")


def _inputs_cases(table: Table) -> Iterator[Case]:
    names, columns = table.names, _inputs(table.names, table.rows)
    scalars = {name: values[0] for name, values in columns.items()}
    bodies: dict[str, Any] = {
        "scalars": scalars,
        "a scalar between lists": {**columns, names[0]: columns[names[0]][0]},
        "a column too short": {**columns, names[0]: columns[names[0]][:1]},
        "a column too long": {**columns, names[-1]: columns[names[-1]] * 2},
        "a column empty": {**columns, names[0]: []},
        "a column null": {**columns, names[0]: None},
        "a column an object": {**columns, names[0]: {"0": 1.0}},
        "nested columns": {name: [[value] for value in values] for name, values in columns.items()},
        "wide columns": {name: [values, values] for name, values in columns.items()},
        "list of objects": _records(names, table.rows),
        "list of one object": _records(names, table.rows[:1]),
        "list of lists": table.rows,
        "nested lists": [table.rows],
        "list of columns": list(columns.values()),
        "flat list": table.rows[0],
    }
    for name, body in bodies.items():
        yield Case(f"inputs: {name}", to_json({"inputs": body}))


def envelope_cases(table: Table) -> Iterator[Case]:
    """Yield what stands around the data: two forms, further keys, parameters, things that are not an object."""
    good = {form: encode(table.names, table.rows) for form, encode in FORMS.items()}
    beside: dict[str, Any] = {
        "id": "1",
        "stream": False,
        "signature_name": "serving_default",
        "unknown": {"a": [1]},
        "": 0,
    }
    for form, data in good.items():
        yield Case(f"{form} and another form", to_json({form: data, next(other for other in good if other != form): 1}))
        yield Case(f"{form} twice", to_json({form: 1})[:-1] + b", " + to_json({form: data})[1:])
        yield Case(f"{form} in upper case", to_json({form.upper(): data}))
        yield Case(
            f"{form} written with escapes",
            to_json({form: data}).replace(b'{"d', b'{"\\u0064').replace(b'{"i', b'{"\\u0069'),
        )
        for key, value in beside.items():
            yield Case(f"{form} beside {key!r}", to_json({form: data, key: value}))
        for name, params in _params(table):
            yield Case(f"{form}, params {name}", to_json({form: data, "params": params}))
        yield Case(f"{form}, params first", to_json({"params": {}, form: data}))
    for key in ("messages", "prompt", "input"):
        yield Case(f"{key} alone", to_json({key: [{"role": "user", "content": "hello"}]}))
        yield Case(f"{key} with the columns", to_json({key: "x", **_inputs(table.names, table.rows)}))
        yield Case(f"{key} beside inputs", to_json({"inputs": good["inputs"], key: "x"}))
    yield Case("all four forms", to_json(good))
    yield Case("the columns without a form", to_json(good["inputs"]))
    for name, value in VALUES.items():
        yield Case(f"body is {name}", to_json(value))


def _params(table: Table) -> Iterator[tuple[str, Any]]:
    whole: dict[str, Any] = {
        "null": None,
        "empty": {},
        "a list": [1],
        "a text": "x",
        "a number": 1,
        "unknown": {"zzz": 1},
    }
    yield from whole.items()
    for name, values in table.params.items():
        for value in values:
            yield f"{name}={value!r}", {name: value}
        yield f"{name} and an unknown one", {name: values[0], "zzz": 1}
