"""Whether a version's answers to its own input example hold: read, compared, and held against what was recorded. Pure.

A worker's answer is a model's word: it is read within limits, and what cannot be read is said so.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mlorch_site.lib.readable import read_json

PLACE_MAX_CHARS = 80
WORDS_MAX_CHARS = 200


class NotRight(Exception):
    """An answer that does not hold; the text says why."""


@dataclass(frozen=True)
class Unlike:
    """Where two answers differ, and how."""

    place: str
    sentence: str


def predictions_of(status: int, body: str, is_cut: bool) -> Any:
    """What an answer of MLflow's protocol holds. Raises NotRight."""
    if status != 200:
        words = " ".join(body.split())[:WORDS_MAX_CHARS]
        raise NotRight(f"The input example is answered with the error {status}: {words}")
    if is_cut:
        raise NotRight("The answer to the input example is too long to be compared.")
    try:
        value = read_json(body.encode())
    except ValueError as error:
        raise NotRight(f"The answer to the input example is no JSON: {error}.") from error
    if not isinstance(value, dict) or "predictions" not in value:
        raise NotRight("The answer to the input example holds no predictions.")
    return value["predictions"]


def rows_of(payload: Any) -> int | None:
    """How many rows a request or an answer has, None when that cannot be told."""
    if isinstance(payload, list):
        return len(payload)
    if not isinstance(payload, dict):
        return None
    for name in ("dataframe_split", "dataframe_records", "instances", "inputs"):
        if name in payload:
            inner = payload[name]
            if name == "dataframe_split":
                inner = inner.get("data") if isinstance(inner, dict) else None
            if isinstance(inner, dict) and inner:
                inner = next(iter(inner.values()))
            return len(inner) if isinstance(inner, list) else None
    return None


def missing_places(value: Any) -> Iterator[str]:
    """Where an answer has no value: JSON has no NaN, so that null stands for it."""
    return (place for place, leaf in _leaves(value, "") if leaf is None)


def columns_problem(predictions: Any, outputs: list[dict[str, Any]] | None) -> str:
    """What an answer in columns lacks of those that the signature promises, empty when nothing."""
    names = {str(column["name"]) for column in outputs or [] if column.get("name")}
    if not names or not isinstance(predictions, list) or not predictions or not isinstance(predictions[0], dict):
        return ""
    lacking = sorted(names - predictions[0].keys())
    return f"The answer lacks what the signature promises: {', '.join(lacking)[:WORDS_MAX_CHARS]}." if lacking else ""


def unlike(one: Any, other: Any, tolerance: float) -> Unlike | None:
    """The first place where two answers differ by more than a relative tolerance, None when there is none."""
    seen = dict(_leaves(one, ""))
    others = dict(_leaves(other, ""))
    for place in seen.keys() ^ others.keys():
        return Unlike(place, f"one has a value at {_shown(place)} and the other has none")
    for place, value in seen.items():
        if not _alike(value, others[place], tolerance):
            return Unlike(place, f"{_word(value)} and {_word(others[place])} at {_shown(place)}")
    return None


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{place}.{name}")
    elif isinstance(value, list):
        yield f"{place}#", len(value)
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{place}[{number}]")
    else:
        yield place, value


def _alike(one: Any, other: Any, tolerance: float) -> bool:
    are_numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (one, other))
    if are_numbers:
        return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
    return type(one) is type(other) and bool(one == other)


def _shown(place: str) -> str:
    if place.endswith("#"):
        return f"the length of {place[:-1].lstrip('.')[:PLACE_MAX_CHARS] or 'the answer'}"
    return place.lstrip(".")[:PLACE_MAX_CHARS] or "the top"


def _word(value: Any) -> str:
    return "no value" if value is None else str(value)[:40]
