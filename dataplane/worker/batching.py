"""Several requests in one prediction, for models whose rows are known to be independent: natively where that was
proved, else as one DataFrame.

A prediction of several requests that fails is asked again request by request: one client's bad row never fails
another's.
"""

import itertools
import json
from collections.abc import Callable
from io import StringIO
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from mlflow.pyfunc import scoring_server

from dataplane.worker import scoring_code
from dataplane.worker.answers import Answer, numbers_text
from dataplane.worker.native.predictors import Predicts
from dataplane.worker.native.request_forms import Forms, Plain, type_Rows
from dataplane.worker.oip import protocol

ROWS_MAX = 4096


class Unsplit(Exception):
    """The result of several requests that cannot be told apart."""


class Native(NamedTuple):
    """A proved native path."""

    forms: Forms
    predict: Predicts
    unusable: type[Exception]


def score_native(native: Native, plain: "list[Plain]", encode: "Callable[[Plain, Any], Answer]") -> "list[Answer]":
    """Answer plain requests in one prediction.

    Raises whatever the model raises, ValueError when a mate may have changed an answer.
    """
    result = native.predict(_joined([request.rows for request in plain]))
    if len(plain) == 1:
        return [encode(plain[0], result)]
    _check_unmixed(result)
    answers, begin = [], 0
    for request in plain:
        end = begin + len(request.rows)
        answers.append(encode(request, result[begin:end]))
        begin = end
    return answers


def _check_unmixed(result: Any) -> None:
    """Raise ValueError when a value is missing: its place may have made floating-point numbers of its batch mates'
    integers.
    """
    if not isinstance(result, list) and bool(np.any(pd.isna(result))):
        raise ValueError("a value is missing")


def _joined(parts: "list[type_Rows]") -> type_Rows:
    """The rows of several requests of one protocol: its rows are all tuples, or all matrices."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts, out=np.empty((sum(map(len, parts)), parts[0].shape[1]), order="F"))
    return list(itertools.chain.from_iterable(parts))


def predictions_encoder(as_json: "Callable[[str], str]") -> "Callable[[Plain, Any], Answer]":
    """The encoder of an array as MLflow's scoring protocol has it; `as_json` says what becomes of NaN."""

    def encode(_: Plain, result: np.ndarray) -> Answer:
        text = numbers_text(result) or as_json(json.dumps(result.tolist()))
        return Answer(200, f'{{"predictions": {text}}}'.encode())

    return encode


def oip_encoder(model_name: str, version: str, output_schema: Any) -> "Callable[[Plain, Any], Answer]":
    """The encoder of OIP answers of one model. What is the same in every answer of a batch is written once."""
    prefixes: dict[Any, str] = {}

    def encode(request: Plain, result: np.ndarray) -> Answer:
        asked = request.asked
        data = numbers_text(result.reshape(-1)) if not asked or asked.keys() == {"id"} else None
        prefix = prefixes.get((result.dtype, result.shape), "")
        ending = f"{data}}}]" + (f', "id": {json.dumps(asked["id"])}}}' if asked.keys() == {"id"} else "}")
        if data is not None and prefix:
            return Answer(200, (prefix + ending).encode())
        answer = protocol.answer(asked, result, model_name, version, output_schema)
        if data is not None and answer.body.count(b'"data"') == 1 and answer.body.endswith(ending.encode()):
            prefixes[result.dtype, result.shape] = answer.body.decode().removesuffix(ending)
        return answer

    return encode


class Frames:
    """Predicts several general requests as one DataFrame, for a model whose rows are independent of each other."""

    def __init__(self, model: Any, schema: Any, as_json: "Callable[[str], str]") -> None:
        self._model = model
        self._schema = schema
        self._as_json = as_json

    def parse(self, body: bytes) -> "pd.DataFrame | None":
        """The request as the DataFrame that MLflow makes of it; None when it is none, has parameters or an index, is
        malformed, or has a column that its batch mates' values could make one of another type.
        """
        try:
            parsed = scoring_code.parse(body, self._model.metadata, self._schema)
        except Exception:
            return None
        frame = parsed.data
        if not isinstance(frame, pd.DataFrame) or parsed.params is not None or parsed.is_unified_llm_input:
            return None
        is_whole = len(frame) and isinstance(frame.index, pd.RangeIndex)
        return frame if is_whole and all(map(_is_even, frame.dtypes, map(frame.get, frame.columns))) else None

    def score(self, frames: "list[pd.DataFrame]") -> "list[Answer]":
        """Answer requests of the same columns and types in one prediction.

        Raises whatever the model raises, Unsplit and ValueError when the answers cannot be told apart.
        """
        parts = self.parts(frames)
        for part in parts:
            _check_unmixed(part)
        return [self.encode(part) for part in parts]

    def parts(self, frames: "list[pd.DataFrame]") -> "list[Any]":
        """The result of each request out of one prediction. Raises whatever the model raises, Unsplit."""
        result = self._model.predict(pd.concat(frames, ignore_index=True))
        _check_rows(result, sum(map(len, frames)))
        ends = list(itertools.accumulate(map(len, frames)))
        is_table = isinstance(result, pd.DataFrame | pd.Series)
        cut = result.iloc if is_table else result
        return [cut[end - len(frame) : end] for frame, end in zip(frames, ends, strict=True)]

    def encode(self, part: Any) -> Answer:
        """The answer that carries the result of one request."""
        text = StringIO()
        scoring_server.predictions_to_json(part, text)
        return Answer(200, self._as_json(text.getvalue()).encode())


def _is_even(dtype: Any, column: Any) -> bool:
    """Whether a column has one type whatever follows it: of objects, only when all are of one kind and none is
    missing.
    """
    if dtype != np.object_:
        return True
    kinds = set(map(type, column))
    return kinds <= {str} or kinds <= {list, dict, np.ndarray}


def _check_rows(result: Any, count: int) -> None:
    """Raise Unsplit unless the result has one entry per row.

    A list of arrays has one per output (`predict_proba` of several outputs), though there be as many by chance.
    """
    is_list = isinstance(result, list) and not any(hasattr(item, "__array__") for item in result)
    if not is_list and not isinstance(result, np.ndarray | pd.DataFrame | pd.Series):
        raise Unsplit(f"a {type(result).__name__} has no entry per row")
    if getattr(result, "ndim", 1) == 0 or len(result) != count:
        raise Unsplit("the result does not have one entry per row")


def compatible(frames: "list[tuple[int, pd.DataFrame]]") -> "list[list[tuple[int, pd.DataFrame]]]":
    """The requests grouped by columns and types, each group bounded by `ROWS_MAX` rows."""
    groups: dict[Any, list[list[tuple[int, pd.DataFrame]]]] = {}
    for place, frame in frames:
        kin = groups.setdefault((tuple(frame.columns), tuple(frame.dtypes)), [[]])
        if sum(len(other) for _, other in kin[-1]) + len(frame) > ROWS_MAX and kin[-1]:
            kin.append([])
        kin[-1].append((place, frame))
    return [group for kin in groups.values() for group in kin]
