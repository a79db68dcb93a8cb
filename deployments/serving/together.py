"""Several requests in one prediction: natively where that was proved, else as one DataFrame where rows do not depend on each other.

A prediction of several requests that fails is asked again request by request: one client's bad row never fails another's.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from mlflow.pyfunc import scoring_server

from deployments.serving import oip
from deployments.serving.answers import Answer
from deployments.serving.native import Predicts
from deployments.serving.native_forms import Forms, Plain

ROWS_MAX = 4096


class Native(NamedTuple):
    """A proved native path."""

    forms: Forms
    predict: Predicts
    unusable: type[Exception]


def score_native(native: Native, plain: "list[Plain]", encode: "Callable[[Plain, Any], Answer]") -> "list[Answer]":
    """Answer plain requests in one prediction. Raises whatever the model raises."""
    rows = plain[0].rows if len(plain) == 1 else [row for request in plain for row in request.rows]
    result = native.predict(rows)
    if len(plain) == 1:
        return [encode(plain[0], result)]
    answers, begin = [], 0
    for request in plain:
        end = begin + len(request.rows)
        answers.append(encode(request, result[begin:end]))
        begin = end
    return answers


def encode_predictions(_: Plain, result: np.ndarray) -> Answer:
    """Return an array as MLflow's scoring protocol does."""
    return Answer(200, json.dumps({"predictions": result.tolist()}).encode())


def oip_encoder(model_name: str, version: str, output_schema: Any) -> "Callable[[Plain, Any], Answer]":
    """Return the encoder of OIP answers of one model."""

    def encode(request: Plain, result: np.ndarray) -> Answer:
        return oip.answer(request.asked, result, model_name, version, output_schema)

    return encode


class Frames:
    """Predicts several general requests as one DataFrame, for a model whose rows are independent of each other."""

    def __init__(self, model: Any, schema: Any) -> None:
        self._model = model
        self._schema = schema

    def parse(self, body: bytes) -> "pd.DataFrame | None":
        """Return the request as the DataFrame that MLflow makes of it; None when it is none, has parameters, or is malformed."""
        try:
            parsed = scoring_server._parse_json_data(body, self._model.metadata, self._schema)
        except Exception:
            return None
        is_frame = isinstance(parsed.data, pd.DataFrame) and not parsed.params and not parsed.is_unified_llm_input
        return parsed.data if is_frame and len(parsed.data) else None

    def score(self, frames: "list[pd.DataFrame]") -> "list[Answer]":
        """Answer requests of the same columns and types in one prediction. Raises whatever the model raises, ValueError for other shapes."""
        result = self._model.predict(pd.concat(frames, ignore_index=True))
        if len(result) != sum(map(len, frames)):
            raise ValueError("the result does not have one entry per row")
        answers, begin = [], 0
        for frame in frames:
            end = begin + len(frame)
            part = result.iloc[begin:end] if isinstance(result, pd.DataFrame | pd.Series) else result[begin:end]
            answers.append(Answer(200, _encoded(part)))
            begin = end
        return answers


def _encoded(result: Any) -> bytes:
    from io import StringIO

    text = StringIO()
    scoring_server.predictions_to_json(result, text)
    return text.getvalue().encode()


def compatible(frames: "list[tuple[int, pd.DataFrame]]") -> "list[list[tuple[int, pd.DataFrame]]]":
    """Return the requests grouped by columns and types, each group bounded by `ROWS_MAX` rows."""
    groups: dict[Any, list[list[tuple[int, pd.DataFrame]]]] = {}
    for place, frame in frames:
        kin = groups.setdefault((tuple(frame.columns), tuple(frame.dtypes)), [[]])
        if sum(len(other) for _, other in kin[-1]) + len(frame) > ROWS_MAX and kin[-1]:
            kin.append([])
        kin[-1].append((place, frame))
    return [group for kin in groups.values() for group in kin]
