"""The native path: the estimator asked directly, without pandas or MLflow's checks per call.

Used only where `equivalence.py` found it equal.
"""

import re
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from dataplane.worker.native.request_forms import EXACT_INTEGER_MAX, PLAIN, Forms, type_Rows

DTYPES = {
    "double": np.float64,
    "float": np.float32,
    "long": np.int64,
    "integer": np.int32,
    "boolean": np.bool_,
    "string": object,
}
# The type that takes whatever the JSON has; older numpy would wrap integers that are too large for int32.
WIDE: "dict[Any, Any]" = {np.float32: np.float64, np.int32: np.int64}
INT32 = np.iinfo(np.int32)
RESULT_KINDS = "biufU"
# What JSON writes with an escape, or UTF-8 not at all, cannot be the name of a compiled decoder's field.
UNFIT = re.compile(r'[\x00-\x1f"\\\ud800-\udfff]')


class NotPlain(Exception):
    """The rows cannot go the native way; the general way decides what they are."""


class NotRows(Exception):
    """The model's result is no plain array with one entry per row: the native path is of no use for this version."""


class Predicts(Protocol):
    """Rows in the order of the signature → one result per row.

    Raises NotPlain, NotRows, or whatever the model raises.
    """

    name: str

    def __call__(self, rows: type_Rows) -> np.ndarray: ...


class ArrayPath:
    """The scikit-learn estimator on an array of the signature's one type."""

    name = "array"

    def __init__(self, predict: Any, kind: str) -> None:
        self._predict = predict
        self._dtype = DTYPES[kind]

    def __call__(self, rows: type_Rows) -> np.ndarray:
        return _checked(self._predict(_exact(rows, self._dtype)), len(rows))


class FramePath:
    """The flavour's own predict on a DataFrame with exactly the types that MLflow's schema enforcement would give
    it.
    """

    name = "frame"

    def __init__(self, predict: Any, names: "list[str]", kinds: "list[str]") -> None:
        self._predict = predict
        self._columns = pd.Index(names)
        self._dtypes = [DTYPES[kind] for kind in kinds]

    def __call__(self, rows: type_Rows) -> np.ndarray:
        if len(set(self._dtypes)) == 1 and self._dtypes[0] is not object:
            frame = pd.DataFrame(_exact(rows, self._dtypes[0]), columns=self._columns)
        else:
            columns = [
                _column(values, dtype) for values, dtype in zip(zip(*rows, strict=True), self._dtypes, strict=True)
            ]
            frame = pd.DataFrame(dict(enumerate(columns)))
            frame.columns = self._columns
        return _checked(self._predict(frame), len(rows))


def _exact(values: Any, dtype: Any) -> np.ndarray:
    """Rows or a column as an array of `dtype`. Raises NotPlain for numbers that it cannot have.

    Column-major, as pyfunc's DataFrame is: sums in another order would differ in the last digits.
    """
    try:
        wide = np.asarray(values, dtype=WIDE.get(dtype, dtype), order="F")
    except OverflowError as error:
        raise NotPlain from error
    if wide.dtype == np.float64 and np.abs(wide).max() >= EXACT_INTEGER_MAX:
        raise NotPlain
    if dtype is np.int32 and (wide.min() < INT32.min or wide.max() > INT32.max):
        raise NotPlain
    return wide.astype(dtype, copy=False)


def _column(values: "tuple[Any, ...]", dtype: Any) -> Any:
    return pd.Series(values) if dtype is object else _exact(values, dtype)


def _checked(result: Any, length: int) -> np.ndarray:
    """The result when it is a plain array with one entry per row. Raises NotRows otherwise."""
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
    """The columns of an input schema when every one is named, required and of a plain type, with names that a decoder
    can have.
    """
    if schema is None or schema.is_tensor_spec() or not schema.has_input_names():
        return None
    kinds = [getattr(getattr(column, "type", None), "name", "") for column in schema.inputs]
    # MLflow before 2.10 says it the other way round.
    required = all(getattr(column, "required", not getattr(column, "optional", False)) for column in schema.inputs)
    if not kinds or any(kind not in PLAIN for kind in kinds) or not required:
        return None
    names = list(schema.input_names())
    if len(set(names)) != len(names) or not all(isinstance(name, str) and not UNFIT.search(name) for name in names):
        return None
    return Signature(names, kinds)


def forms_of(signature: Signature) -> "set[str]":
    """The forms that a native path could take."""
    return Forms(signature.names, signature.kinds).forms


def candidates(model: Any, signature: Signature) -> "list[tuple[Forms, Predicts]]":
    """The native ways to ask `model` (a loaded pyfunc model), fastest first. None of them is proved yet."""
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
