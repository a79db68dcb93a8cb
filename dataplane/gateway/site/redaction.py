"""Leaves the values of named columns out of a request's or an answer's data.

What cannot be read is left out as a whole.
"""

import csv
import io
import json
from typing import Any

HIDDEN = "[redacted]"


def redacted(body: bytes, content_type: str, hidden: frozenset[str]) -> bytes:
    """The body with the values of `hidden` columns replaced; a marker with the size when the body cannot be
    understood.
    """
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == "text/csv":
            return _csv(body.decode(), hidden).encode()
        if kind in ("application/json", ""):
            return json.dumps(_json(json.loads(body), hidden)).encode()
    except (ValueError, TypeError, RecursionError, csv.Error):
        pass
    return json.dumps({"redacted": f"{len(body)} bytes of {kind or 'unknown type'}"}).encode()


def _csv(text: str, hidden: frozenset[str]) -> str:
    rows = list(csv.reader(io.StringIO(text)))
    if not rows:
        return text
    places = {place for place, name in enumerate(rows[0]) if name in hidden}
    if places:
        rows[1:] = [[HIDDEN if place in places else cell for place, cell in enumerate(row)] for row in rows[1:]]
    rewritten = io.StringIO()
    csv.writer(rewritten, lineterminator="\n").writerows(rows)
    return rewritten.getvalue()


def _json(value: Any, hidden: frozenset[str]) -> Any:
    """Hide by key anywhere, by position in split tables, by name in tensors."""
    if isinstance(value, list):
        return [_json(item, hidden) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        return _split(value, hidden)
    if value.get("name") in hidden and "data" in value:
        return {**value, "data": HIDDEN}
    return {key: HIDDEN if key in hidden else _json(item, hidden) for key, item in value.items()}


def _split(table: dict[str, Any], hidden: frozenset[str]) -> dict[str, Any]:
    places = {place for place, name in enumerate(table["columns"]) if name in hidden}
    data = [
        [HIDDEN if place in places else _json(cell, hidden) for place, cell in enumerate(row)]
        if isinstance(row, list)
        else HIDDEN
        for row in table["data"]
    ]
    return {**table, "data": data}
