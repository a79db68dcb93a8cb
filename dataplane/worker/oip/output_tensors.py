"""What a model gives, as named arrays for the tensors of an answer.

The datatype of a tensor is that of the signature where it tells one, else that of the values that are there: a missing
one changes nothing of it. Integers and booleans with missing values are masked arrays. What no tensor can carry is
text: a structure its JSON, anything else what it says of itself.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from dataplane.worker.oip import binary
from dataplane.worker.oip.tensors import ELEMENTS_MAX, EXACT_MAX

# MLflow type → the numpy type in which an answer carries it, whatever numbers came.
OF_SCHEMA = {"boolean": np.bool_, "integer": np.int32, "long": np.int64, "float": np.float32, "double": np.float64}
INT64, UINT64 = np.iinfo(np.int64), np.iinfo(np.uint64)
type_Named = list[tuple[str, np.ndarray]]


def named_arrays(result: Any, schema: Any = None) -> type_Named:
    """The output tensors of a prediction, each with a name of its own.

    A DataFrame gives one tensor per column, a dict one per key, a list of matrices of different widths one per matrix
    (the probabilities of several outputs), a matrix one per column when the signature names as many; anything else
    gives one, with the name that the signature has for a single output, else `predict`.
    """
    told = list(schema.input_names()) if schema is not None and schema.has_input_names() else []
    types = _types_of(schema)
    arrays = _arrays(result, [str(name) for name in told])
    alone = next(iter(types.values())) if len(types) == 1 == len(arrays) else ""
    return [(name, _as_told(array, types.get(name, alone))) for name, array in _distinct(arrays)]


def _arrays(result: Any, told: "list[str]") -> type_Named:
    if isinstance(result, Iterator):
        result = list(itertools.islice(result, ELEMENTS_MAX))
    if isinstance(result, pd.DataFrame):
        return [(str(name), _of_series(result.iloc[:, place])) for place, name in enumerate(result.columns)]
    if isinstance(result, dict):
        return [(str(name), _of_any(value)) for name, value in result.items()]
    if matrices := _of_several_outputs(result):
        names = told if len(told) == len(matrices) else [f"predict-{place}" for place in range(len(matrices))]
        return list(zip(names, matrices, strict=True))
    array = _of_any(result)
    if len(told) > 1 and array.ndim == 2 and array.shape[1] == len(told):
        return [(name, array[:, place]) for place, name in enumerate(told)]
    own = result.name if isinstance(result, pd.Series) else None
    return [(told[0] if len(told) == 1 else str(own) if own is not None else "predict", array)]


def _of_several_outputs(result: Any) -> "list[np.ndarray]":
    """The matrices of a list of them with one row per row each, but of different widths; else none."""
    if not isinstance(result, list | tuple) or not all(
        isinstance(item, np.ndarray) and item.ndim == 2 for item in result
    ):
        return []
    is_of_rows = len({len(item) for item in result}) == 1
    return list(result) if is_of_rows and len({item.shape[1] for item in result}) > 1 else []


def _distinct(arrays: type_Named) -> type_Named:
    """The arrays with different names: what comes again has a number, as pandas gives it when it reads a table."""
    taken: set[str] = set()
    distinct: type_Named = []
    for name, array in arrays:
        numbered = (f"{name}.{number}" for number in itertools.count(1))
        free = name if name not in taken else next(one for one in numbered if one not in taken)
        taken.add(free)
        distinct.append((free, array))
    return distinct


def _types_of(schema: Any) -> "dict[str, str]":
    """Output → MLflow type, of those that the signature tells."""
    if schema is None or schema.is_tensor_spec():
        return {}
    names = [place if column.name is None else column.name for place, column in enumerate(schema.inputs)]
    return {str(name): getattr(column.type, "name", "") for name, column in zip(names, schema.inputs, strict=True)}


def _as_told(array: np.ndarray, kind: str) -> np.ndarray:
    """The array in the type that the signature tells, when that changes no value."""
    wanted = OF_SCHEMA.get(kind)
    if wanted is not None and isinstance(array, np.ma.MaskedArray) and not np.ma.is_masked(array):
        array = np.asarray(array)
    if wanted is None or array.dtype == wanted or array.dtype.kind not in "biuf":
        return _all_missing(array, wanted) if wanted is not None and array.dtype == np.object_ else array
    is_float = np.dtype(wanted).kind == "f"
    if array.dtype.kind == "b" or (np.dtype(wanted).kind == "b"):
        return array
    if isinstance(array, np.ma.MaskedArray) and is_float:
        array = np.asarray(np.ma.filled(array.astype(np.float64), np.nan))
    with np.errstate(all="ignore"):
        told: np.ndarray = array.astype(wanted)
        # Floating-point numbers may lose digits, as MLflow's own schema has it; integers may not lose anything.
        is_same = array.dtype.kind == "f" if is_float else False
        is_same = is_same or bool(np.ma.allequal(told.astype(array.dtype), array))
    return told if is_same else array


def _all_missing(array: np.ndarray, wanted: Any) -> np.ndarray:
    if not all(_is_missing(item) for item in array.reshape(-1).tolist()):
        return array
    if np.dtype(wanted).kind == "f":
        return np.full(array.shape, np.nan, dtype=wanted)
    return with_missing(np.zeros(array.shape, dtype=wanted), np.full(array.shape, True))


def _of_any(value: Any) -> np.ndarray:
    if isinstance(value, pd.Series):
        return _of_series(value)
    if hasattr(value, "toarray"):
        value = value.toarray()
    if isinstance(value, Iterator):
        value = list(itertools.islice(value, ELEMENTS_MAX))
    try:
        array = np.asarray(value)
        if not isinstance(value, np.ndarray) and array.dtype.kind == "f" and _may_have_rounded(array):
            array = np.asarray(value, dtype=object)
    except ValueError:  # rows of different lengths
        array = binary.objects(list(value))
    return _of_objects(array) if array.dtype == np.object_ else array


def _may_have_rounded(array: np.ndarray) -> bool:
    """Whether integers that no type of numpy holds may have become floating-point numbers."""
    with np.errstate(invalid="ignore"):
        return bool(array.size) and bool((np.abs(array) >= EXACT_MAX).any())


def _of_series(series: "pd.Series[Any]") -> np.ndarray:
    """The values; of pandas' own types those of numpy that they stand for."""
    kind = getattr(series.dtype, "kind", "O")
    if isinstance(series.dtype, np.dtype) or kind not in "biuf":
        values: np.ndarray = series.to_numpy()
        if values.dtype != np.object_:
            return values
        is_text = isinstance(series.dtype, pd.StringDtype)
        return values if is_text else _stacked(values)
    if kind == "f":
        return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))
    own = getattr(series.dtype, "numpy_dtype", np.dtype({"b": "?", "i": "i8", "u": "u8"}[kind]))
    # Masked though nothing is missing: what the next rows have changes nothing of the datatype.
    return with_missing(np.asarray(series.to_numpy(dtype=own, na_value=own.type(0))), series.isna().to_numpy())


def _stacked(values: np.ndarray) -> np.ndarray:
    """A column of arrays of one shape as one array, any other column as it is."""
    items = values.tolist()
    if items and all(isinstance(item, list | tuple | np.ndarray) for item in items):
        try:
            stacked = np.stack([np.asarray(item) for item in items])
        except ValueError:
            return values
        return _of_objects(stacked) if stacked.dtype == np.object_ else stacked
    return _of_objects(values)


def _of_objects(array: np.ndarray) -> np.ndarray:
    """Numbers and booleans among which some are missing, as such; everything else as it is."""
    items: list[Any] = array.reshape(-1).tolist()
    missing = [_is_missing(item) for item in items]
    present = [item for item, is_missing in zip(items, missing, strict=True) if not is_missing]
    kinds = {_kind_of(item) for item in present}
    made: np.ndarray | None = None
    if kinds <= {"i", "f"} and ("f" in kinds or (not kinds and any(isinstance(item, float) for item in items))):
        if all(abs(item) < EXACT_MAX or _kind_of(item) == "f" for item in present):
            floats = [math.nan if is_gone else float(item) for item, is_gone in zip(items, missing, strict=True)]
            made = np.array(floats, dtype=np.float64)
    elif kinds == {"i"} and (whole := _whole_type(present)) is not None:
        made = _masked(items, missing, whole)
    elif kinds == {"b"}:
        made = _masked(items, missing, np.bool_)
    return array if made is None else made.reshape(array.shape)


def _masked(items: "list[Any]", missing: "list[bool]", kind: Any) -> np.ndarray:
    values = np.array([kind(0) if is_gone else item for item, is_gone in zip(items, missing, strict=True)], dtype=kind)
    return with_missing(values, np.array(missing)) if any(missing) else values


def with_missing(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The values with those that are missing masked."""
    masked: np.ndarray = np.ma.MaskedArray(values, mask=missing)
    return masked


def _whole_type(present: "list[Any]") -> Any:
    """The numpy type that holds all these integers, None when there is none."""
    low, high = min(present), max(present)
    if INT64.min <= low and high <= INT64.max:
        return np.int64
    return np.uint64 if low >= 0 and high <= UINT64.max else None


def _kind_of(item: Any) -> str:
    if isinstance(item, bool | np.bool_):
        return "b"
    if isinstance(item, int | np.integer):
        return "i"
    return "f" if isinstance(item, float | np.floating) else "o"


def _is_missing(item: Any) -> bool:
    """Whether there is no value: None, NaN, pandas' own."""
    if item is None or item is pd.NA or item is pd.NaT:
        return True
    return isinstance(item, float | np.floating) and math.isnan(item)
