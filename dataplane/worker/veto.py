"""The veto: example rows asked alone, together, and in another order. It may forbid that requests are joined, and never
permits it.
"""

import datetime
import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dataplane.worker import equivalence
from dataplane.worker.answers import Answer
from dataplane.worker.batching import Frames, Unsplit, compatible
from dataplane.worker.oip.model_tensors import kind_of

ROWS = 24
MISSING_EVERY = 4  # each so many rows one lacks values
VETO_MAX_S = 60.0
FIRST_MOMENT = pd.Timestamp("2026-01-31T12:30:00")
OF_DTYPE = {"f": "double", "i": "long", "u": "long", "b": "boolean", "M": "datetime"}


def requests(schema: Any, example: "pd.DataFrame | None") -> "list[bytes]":
    """Requests of one row each, all different, some without a value; none when nothing is known of the columns."""
    kinds = _kinds(schema, example)
    if not kinds:
        return []
    draw = random.Random(20)  # noqa: S311 - the same rows in every start
    seen = {name: _seen(example, name) for name in kinds}
    return [_request(draw, kinds, seen, turn) for turn in range(ROWS)]


def _request(draw: random.Random, kinds: "dict[Any, str]", seen: "dict[Any, list[Any]]", turn: int) -> bytes:
    # Each column lacks its value in one of the rows that lack some; a few rows stay whole whatever the model makes of
    # that.
    lacking = turn // MISSING_EVERY if turn % MISSING_EVERY == MISSING_EVERY - 1 else -1
    row = [
        None
        if lacking == place % (ROWS // MISSING_EVERY) and kind in ("double", "float", "string", "datetime")
        else _value(draw, kind, seen[name])
        for place, (name, kind) in enumerate(kinds.items())
    ]
    return json.dumps({"dataframe_split": {"columns": list(kinds), "data": [row]}}, default=str).encode()


def _kinds(schema: Any, example: "pd.DataFrame | None") -> "dict[Any, str]":
    """The MLflow type of each column, of the signature or else of the example."""
    if schema is not None:
        if schema.is_tensor_spec():
            return {}
        names = schema.input_names() if schema.has_input_names() else range(len(schema.inputs))
        return {name: kind_of(column.type) for name, column in zip(names, schema.inputs, strict=True)}
    if example is None:
        return {}
    return {name: _kind_of_column(example[name]) for name in example.columns}


def _kind_of_column(column: "pd.Series[Any]") -> str:
    kind = getattr(column.dtype, "kind", "O")
    if kind in OF_DTYPE:
        return OF_DTYPE[kind]
    return "string" if all(isinstance(item, str) for item in column) else "Array"


def _seen(example: "pd.DataFrame | None", name: Any) -> "list[Any]":
    """The example's own values of a column, as JSON has them."""
    if example is None or name not in example:
        return []
    values = [item.tolist() if isinstance(item, np.ndarray | np.generic) else item for item in example[name]]
    return [item for item in values if not (pd.api.types.is_scalar(item) and pd.isna(item))]


def _value(draw: random.Random, kind: str, seen: "list[Any]") -> Any:
    if kind in equivalence.EDGES:
        return equivalence.drawn(draw, kind, seen)
    if kind == "datetime":
        base = pd.Timestamp(draw.choice(seen)) if seen else FIRST_MOMENT
        return (base + datetime.timedelta(days=draw.randint(-400, 400))).isoformat()
    return _varied(draw, draw.choice(seen)) if seen else None


def _varied(draw: random.Random, value: Any) -> Any:
    """A structure with other numbers in it."""
    if isinstance(value, dict):
        return {name: _varied(draw, item) for name, item in value.items()}
    if isinstance(value, list):
        return [_varied(draw, item) for item in value]
    return value * draw.gauss(1, 0.5) if isinstance(value, float) else value


class Looked(NamedTuple):
    """What examples showed: the `objection` to joining requests, empty when there is none, and how often some were
    `asked` together.
    """

    objection: str
    asked: int


def look(
    frames: Frames, bodies: "list[bytes]", alone: "Callable[[bytes], Answer]", most_s: float = VETO_MAX_S
) -> Looked:
    """Ask rows alone and together.

    What a model refuses alone proves nothing and is left out. A model that takes too long is looked at as far as
    `most_s` reaches.
    """
    end = time.monotonic() + most_s
    asked: list[tuple[pd.DataFrame, Answer]] = []
    for body in bodies:
        frame = frames.parse(body)
        answer = alone(body) if frame is not None and time.monotonic() < end else None
        if frame is not None and answer is not None and answer.status == 200:
            asked.append((frame, answer))
    count = 0
    for count, found in enumerate(tries(frames, asked), start=1):
        if found or time.monotonic() >= end:
            return Looked(found, count)
    return Looked("", count)


def tries(frames: Frames, asked: "list[tuple[pd.DataFrame, Answer]]", what: str = "example row") -> "Iterator[str]":
    """Ask requests that were answered alone together, in one order after the other; say each time what speaks against
    that, nothing when they are answered as alone.
    """
    scale = max((equivalence.scale_of(answer) for _, answer in asked), default=0.0)
    for kin in compatible([(place, frame) for place, (frame, _) in enumerate(asked)]):
        for order in _orders([place for place, _ in kin]):
            yield _objection_to(frames, [asked[place] for place in order], scale, what)


def _orders(places: "list[int]") -> "Iterator[list[int]]":
    yield from (places[turn : turn + 2] for turn in range(0, len(places) - 1, 2))
    half = places[: len(places) // 2]
    yield from (order for order in (places, places[::-1], half, places[1::2]) if len(order) > 1)


def _objection_to(frames: Frames, asked: "list[tuple[pd.DataFrame, Answer]]", scale: float, what: str) -> str:
    try:
        parts = frames.parts([frame for frame, _ in asked])
        together = [frames.encode(part) for part in parts]
    except Unsplit as error:
        return f"{len(asked)} {what}s together: {error}"
    except Exception as error:  # whatever a model raises
        return f"{len(asked)} {what}s that are answered alone are not answered together ({type(error).__name__})"
    if all(equivalence.is_close(answer, wanted, scale) for answer, (_, wanted) in zip(together, asked, strict=True)):
        return ""
    return f"one {what} was answered otherwise beside {len(asked) - 1} others than alone"
