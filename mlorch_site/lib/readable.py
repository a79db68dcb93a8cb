"""What is taken for text and JSON: no zero characters, which PostgreSQL cannot keep, no halves of characters, which
nothing can write, and no nesting or numbers without end.
"""

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

DEPTH_MAX = 32
INTEGER_MAX = 2**63 - 1
DIGITS_MAX = 9  # of a number in an address


def is_text(value: str) -> bool:
    """Whether it can be kept and written."""
    return "\x00" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)


def whole_number(text: str) -> int | None:
    """The number that the digits 0 to 9 write, None when it is anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX else None


def read_json(raw: bytes) -> Any:
    """The value that JSON holds. Raises ValueError with what is wrong with it."""
    try:
        value = json.loads(raw.decode(), parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError(f"it is nested more than {DEPTH_MAX} deep") from error
    layer: list[Any] = [value]
    for _ in range(DEPTH_MAX + 1):
        layer = [inner for found in layer for inner in _inner(found)]
        if not layer:
            return value
    raise ValueError(f"it is nested more than {DEPTH_MAX} deep")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _inner(value: Any) -> Iterable[Any]:
    """What is inside of a value. Raises ValueError when the value itself cannot be kept."""
    if isinstance(value, dict):
        return _members(value)
    if isinstance(value, list):
        return value
    if isinstance(value, str) and not is_text(value):
        raise ValueError("a text holds a zero character or half of one")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is too large")
    if type(value) is int and abs(value) > INTEGER_MAX:
        raise ValueError("a number is too large")
    return ()


def _members(value: dict[str, Any]) -> Iterator[Any]:
    yield from value
    yield from value.values()
