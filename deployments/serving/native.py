"""The native path: the estimator asked directly, without pandas or MLflow's checks per call. Used only where `proof.py` found it equal."""

from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from deployments.serving.native_forms import EXACT_INTEGER_MAX, PLAIN, Forms, type_Row

DTYPES = {
    "double": np.float64,
    "float": np.float32,
    "long": np.int64,
    "integer": np.int32,
    "boolean": np.bool_,
    "string": object,
}
RESULT_KINDS = "biufU"


class NotPlain(Exception):
    """The rows cannot go the native way; the general way decides what they are."""


class NotRows(Exception):
    """The model's result is no plain array with one entry per row: the native path is of no use for this version."""


class Predicts(Protocol):
    """Rows in the order of the signature → one result per row. Raises NotPlain, NotRows, or whatever the model raises."""

    name: str

    def __call__(self, rows: "list[type_Row]") -> np.ndarray: ...


class ArrayPath:
    """The scikit-learn estimator on an array of the signature's one type."""

    name = "array"

    def __init__(self, predict: Any, kind: str) -> None:
        self._predict = predict
        self._dtype = DTYPES[kind]

    def __call__(self, rows: "list[type_Row]") -> np.ndarray:
        return _checked(self._predict(_matrix(rows, self._dtype)), len(rows))


class FramePath:
    """The flavour's own predict on a DataFrame with exactly the types that MLflow's schema enforcement would give it."""

    name = "frame"

    def __init__(self, predict: Any, names: "list[str]", kinds: "list[str]") -> None:
        self._predict = predict
        self._columns = pd.Index(names)
        self._dtypes = [DTYPES[kind] for kind in kinds]

    def __call__(self, rows: "list[type_Row]") -> np.ndarray:
        if len(set(self._dtypes)) == 1 and self._dtypes[0] is not object:
            frame = pd.DataFrame(_matrix(rows, self._dtypes[0]), columns=self._columns)
        else:
            columns = [
                _column(values, dtype) for values, dtype in zip(zip(*rows, strict=True), self._dtypes, strict=True)
            ]
            frame = pd.DataFrame(dict(enumerate(columns)))
            frame.columns = self._columns
        return _checked(self._predict(frame), len(rows))


def _matrix(rows: "list[type_Row]", dtype: Any) -> np.ndarray:
    """Return the rows as a two-dimensional array of `dtype`. Raises NotPlain for numbers that would not be exact."""
    try:
        matrix = np.array(rows, dtype=np.float64 if dtype is np.float32 else dtype)
    except OverflowError as error:
        raise NotPlain from error
    if dtype in (np.float64, np.float32) and np.abs(matrix).max() >= EXACT_INTEGER_MAX:
        raise NotPlain
    return matrix.astype(dtype) if dtype is np.float32 else matrix


def _column(values: "tuple[Any, ...]", dtype: Any) -> Any:
    if dtype is object:
        return pd.Series(values)
    try:
        column = np.array(values, dtype=np.float64 if dtype is np.float32 else dtype)
    except OverflowError as error:
        raise NotPlain from error
    if dtype in (np.float64, np.float32) and np.abs(column).max() >= EXACT_INTEGER_MAX:
        raise NotPlain
    return column.astype(dtype) if dtype is np.float32 else column


def _checked(result: Any, length: int) -> np.ndarray:
    """Return the result when it is a plain array with one entry per row. Raises NotRows otherwise."""
    if not isinstance(result, np.ndarray) or result.ndim < 1 or len(result) != length:
        raise NotRows
    if result.dtype.kind not in RESULT_KINDS and not (result.dtype == object and _all_text(result)):
        raise NotRows
    return result


def _all_text(result: np.ndarray) -> bool:
    return all(type(item) is str for item in result.reshape(-1).tolist())


class Signature(NamedTuple):
    """What the native path needs of an MLflow signature: the columns' names and types, all of them required."""

    names: "list[str]"
    kinds: "list[str]"


def signature_of(schema: Any) -> "Signature | None":
    """Return the columns of an input schema when every one is named, required and of a plain type."""
    if schema is None or schema.is_tensor_spec() or not schema.has_input_names():
        return None
    kinds = [getattr(getattr(column, "type", None), "name", "") for column in schema.inputs]
    if not kinds or any(kind not in PLAIN for kind in kinds) or not all(column.required for column in schema.inputs):
        return None
    return Signature(list(schema.input_names()), kinds)


def candidates(model: Any, signature: Signature) -> "list[tuple[Forms, Predicts]]":
    """Return the native ways to ask `model` (a loaded pyfunc model), fastest first. None of them is proved yet."""
    predict = getattr(model, "_predict_fn", None)
    if predict is None:
        return []
    paths: list[Predicts] = []
    estimator = getattr(getattr(model, "_model_impl", None), "sklearn_model", None)
    direct = getattr(estimator, getattr(predict, "__name__", ""), None)
    if direct is not None and len(set(signature.kinds)) == 1 and signature.kinds[0] != "string":
        paths.append(ArrayPath(direct, signature.kinds[0]))
    paths.append(FramePath(predict, signature.names, signature.kinds))
    return [(Forms(signature.names, signature.kinds), path) for path in paths]
