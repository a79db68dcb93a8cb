"""The columns of a request's or an answer's data, in each form that the gateway takes: what drift is counted of.

Everything is bounded: rows, columns, the length of a name. What cannot be read raises, and is counted as unread.
"""

import csv
import io
import json
from itertools import islice
from typing import Any

ROWS_MAX = 16  # of one request: rows of a request are alike, so more of them say little
COLUMNS_MAX = 200
COLUMN_NAME_MAX_CHARS = 120
PREDICTION = "prediction"  # the column of an answer that has no names

type_Columns = dict[str, list[Any]]


def columns_of(body: bytes, content_type: str, rows_max: int = ROWS_MAX) -> type_Columns:
    """Column name → values of the first rows. Raises ValueError for what is in none of the forms."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/csv":
        return _csv(body.decode(), rows_max)
    if kind not in ("application/json", ""):
        raise ValueError(f"{kind[:40]} holds no columns")
    try:
        return columns_of_data(json.loads(body), rows_max)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def columns_of_data(data: Any, rows_max: int = ROWS_MAX) -> type_Columns:
    """As `columns_of`, of JSON data: the forms of MLflow, and requests and answers of the Open Inference Protocol."""
    if not isinstance(data, dict):
        raise ValueError("no object")
    for key in ("dataframe_split", "dataframe_records", "instances", "inputs", "outputs", "predictions"):
        if key in data:
            return _form(data[key], "" if key in ("instances", "inputs") else PREDICTION, rows_max)
    raise ValueError("none of the forms")


def _form(value: Any, name: str, rows_max: int) -> type_Columns:
    if isinstance(value, dict):
        if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
            return _table(value["columns"], value["data"], rows_max)
        return {_name(key): _listed(part)[:rows_max] for key, part in islice(value.items(), COLUMNS_MAX)}
    rows = _listed(value)
    if rows and all(isinstance(row, dict) and "name" in row and "data" in row for row in rows):
        return _tensors(rows, rows_max)
    if rows and isinstance(rows[0], dict):
        return _records(rows, rows_max)
    if rows and isinstance(rows[0], list):
        names = [f"{name}[{place}]" if name else str(place) for place in range(min(len(rows[0]), COLUMNS_MAX))]
        return _table(names, rows, rows_max)
    return {name or "0": rows[:rows_max]}


def _table(names: list[Any], rows: list[Any], rows_max: int) -> type_Columns:
    taken = [row for row in rows[:rows_max] if isinstance(row, list)]
    return {
        _name(name): [row[place] if place < len(row) else None for row in taken]
        for place, name in enumerate(names[:COLUMNS_MAX])
    }


def _records(rows: list[Any], rows_max: int) -> type_Columns:
    taken = [row for row in rows[:rows_max] if isinstance(row, dict)]
    names = dict.fromkeys(name for row in taken for name in islice(row, COLUMNS_MAX))
    return {_name(name): [row.get(name) for row in taken] for name in islice(names, COLUMNS_MAX)}


def _tensors(tensors: list[dict[str, Any]], rows_max: int) -> type_Columns:
    """Each tensor is a column, or as many as its second axis is long."""
    columns: type_Columns = {}
    for tensor in tensors[:COLUMNS_MAX]:
        data, shape, name = _listed(tensor["data"]), tensor.get("shape"), _name(tensor["name"])
        width = shape[1] if isinstance(shape, list) and len(shape) == 2 and type(shape[1]) is int else 1
        if width > 1 and data and not isinstance(data[0], list):
            data = [data[start : start + width] for start in range(0, min(len(data), rows_max * width), width)]
        if data and isinstance(data[0], list) and len(data[0]) > 1:
            columns |= _table([f"{name}[{place}]" for place in range(min(len(data[0]), COLUMNS_MAX))], data, rows_max)
        else:
            columns[name] = [row[0] if isinstance(row, list) and row else row for row in data[:rows_max]]
    return dict(islice(columns.items(), COLUMNS_MAX))


def _csv(text: str, rows_max: int) -> type_Columns:
    try:
        rows = list(islice(csv.reader(io.StringIO(text)), rows_max + 1))
    except csv.Error as error:
        raise ValueError(str(error)) from error
    if not rows:
        raise ValueError("no rows")
    return _table(rows[0], [[cell_value(cell) for cell in row] for row in rows[1:]], rows_max)


def cell_value(cell: str) -> float | str | None:
    """A cell of CSV as the value it stands for: nothing, a number, or text."""
    if not cell:
        return None
    try:
        return float(cell)
    except ValueError:
        return cell


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _name(value: Any) -> str:
    return str(value)[:COLUMN_NAME_MAX_CHARS] if isinstance(value, str | int | float) else "?"
