"""CSV for spreadsheets: no cell of it is taken for a formula."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# What spreadsheets begin a formula with, in the wide forms too, and the blanks that some of them skip.
FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")


def csv_lines(columns: list[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The head and each row as a line; None is an empty cell, and what begins like a formula gets a quote before it."""
    yield _line(columns)
    for row in rows:
        yield _line([_cell(row[name]) for name in columns])


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) or text.lstrip().startswith(FORMULA_STARTS) else text


def _line(cells: list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerow(cells)
    return buffer.getvalue()
