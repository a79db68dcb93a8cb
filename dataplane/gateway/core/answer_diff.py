"""Whether two answers to one request say the same, and by how much their numbers differ. Pure.

Answers are those of `/invocations` (`predictions`, or the whole document) and of the Open Inference Protocol
(`outputs`, binary or not).
"""

import json
import math
from array import array
from collections.abc import Iterator
from typing import Any, NamedTuple

RELATIVE_TOLERANCE = 1e-6
ABSOLUTE_TOLERANCE = 1e-12  # for numbers around zero, where nothing is relatively near
DIFFERENCE_MAX = 1e12  # a larger difference counts as this, so that sums stay finite
ARRAY_CODES = {
    "FP64": "d",
    "FP32": "f",
    "INT64": "q",
    "INT32": "i",
    "INT16": "h",
    "INT8": "b",
    "UINT64": "Q",
    "UINT32": "I",
    "UINT16": "H",
    "UINT8": "B",
}

type_Answer = tuple[bytes, int | None]  # body; length of its JSON part when binary tensors follow


class AnswerDiff(NamedTuple):
    """What two answers have apart.

    The differences are absolute, over the numbers of two answers of one shape, else 0.
    """

    is_agreed: bool
    difference_sum: float = 0.0
    difference_max: float = 0.0


class _OtherShape(Exception):
    """The answers cannot be laid over each other."""


def diff(one: type_Answer, other: type_Answer) -> AnswerDiff:
    """Lay two answers over each other; what cannot be read agrees only with the very same bytes."""
    if one == other:
        return AnswerDiff(True)
    try:
        leaves = list(_leaves(_content(*one), _content(*other)))
    except (ValueError, KeyError, TypeError, RecursionError, _OtherShape):
        return AnswerDiff(False)
    differences = [_difference(a, b) for a, b in leaves if _is_number(a) and _is_number(b)]
    is_agreed = all(_same(a, b) for a, b in leaves)
    return AnswerDiff(is_agreed, sum(differences), max(differences, default=0.0))


def _content(body: bytes, header_length: int | None) -> Any:
    """What an answer says, without what names who gave it."""
    document = json.loads(body if header_length is None else body[:header_length])
    if isinstance(document, dict) and isinstance(document.get("outputs"), list):
        return _outputs(document["outputs"], b"" if header_length is None else body[header_length:])
    return document["predictions"] if isinstance(document, dict) and "predictions" in document else document


def _outputs(outputs: list[dict[str, Any]], raw: bytes) -> dict[str, Any]:
    """Output name → shape, datatype and data; binary data follow each other in `raw`."""
    found: dict[str, Any] = {}
    for output in outputs:
        size = (output.get("parameters") or {}).get("binary_data_size")
        data = output.get("data")
        if size is not None:
            data, raw = _numbers(raw[:size], output["datatype"]), raw[size:]
        found[output["name"]] = [output["shape"], output["datatype"], data]
    return found


def _numbers(raw: bytes, datatype: str) -> Any:
    """The numbers of a binary tensor; other datatypes are compared as bytes."""
    code = ARRAY_CODES.get(datatype)
    return array(code, raw).tolist() if code else raw


def _leaves(one: Any, other: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the pairs of values at the same places. Raises _OtherShape."""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for a, b in zip(one, other, strict=True):
            yield from _leaves(a, b)
    elif isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for name, a in one.items():
            yield from _leaves(a, other[name])
    elif isinstance(one, list | dict) or isinstance(other, list | dict):
        raise _OtherShape
    else:
        yield one, other


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(one: Any, other: Any) -> bool:
    if not (_is_number(one) and _is_number(other)):
        return type(one) is type(other) and bool(one == other)
    if one != one or other != other:
        return bool(one != one and other != other)
    try:
        return bool(one == other) or math.isclose(one, other, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)
    except OverflowError:
        return False


def _difference(one: float, other: float) -> float:
    """The absolute difference, within `DIFFERENCE_MAX`; 0 where one is not a number."""
    if one == other or one != one or other != other:
        return 0.0
    return float(min(abs(one - other), DIFFERENCE_MAX)) if _is_finite(one) and _is_finite(other) else DIFFERENCE_MAX


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
