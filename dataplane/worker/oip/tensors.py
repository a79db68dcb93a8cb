"""Tensors of the Open Inference Protocol v2: what a request's tensor holds, and how an array goes into an answer.

In JSON a BYTES element is text. Bytes that are no text go as base64, told by the tensor's parameter `"content_type":
"base64"`, in both directions. In binary they are what they are. FP16 has no JSON form: an answer in JSON widens it to
FP32. JSON has no NaN and no infinity: both are null in an answer. null in a request is a missing value of any datatype.
"""

import base64
import binascii
import datetime
import itertools
import json
import math
from typing import Any

import numpy as np
import pandas as pd

from dataplane.worker.answers import BadInput
from dataplane.worker.oip import binary

DATATYPES = (*binary.NUMPY, "BYTES")
DATATYPE_OF = {np.dtype(kind).newbyteorder("="): datatype for datatype, kind in binary.NUMPY.items()}
NoneType = type(None)
NUMBERS = frozenset((int, float, NoneType))
EXACT_MAX = 2.0**53  # up to it a floating-point number is any integer
ELEMENTS_MAX = 16_000_000
DIMENSIONS_MAX = 32
BASE64 = "base64"


def decode_tensor(tensor: "dict[str, Any]") -> "tuple[str, np.ndarray]":
    """Name and array of one input tensor. Raises BadInput with the tensor's name.

    BYTES become texts when all of the tensor's elements are UTF-8, else all stay bytes.
    """
    name = tensor.get("name")
    if not isinstance(name, str) or not name:
        raise BadInput('every tensor needs a "name"')
    datatype = tensor.get("datatype")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise BadInput(f'tensor "{name}": unknown datatype {datatype!r}; use one of {", ".join(DATATYPES)}')
    shape, count = _shape(name, tensor.get("shape"))
    if binary.RAW in tensor:
        array = binary.decode(name, datatype, tensor[binary.RAW], count)
        if datatype == "BYTES":
            array = _as_texts(array)
    else:
        flat = _flatten(name, tensor.get("data"))
        if len(flat) != count:
            raise BadInput(f'tensor "{name}": shape {shape} needs {count} elements, "data" has {len(flat)}')
        array = _from_json(name, datatype, flat, tensor.get("parameters") or {})
    return name, array.reshape(shape)


def _shape(name: str, shape: Any) -> "tuple[list[int], int]":
    if not isinstance(shape, list) or not all(type(length) is int and length >= 0 for length in shape):
        raise BadInput(f'tensor "{name}": "shape" must be a list of non-negative integers')
    if len(shape) > DIMENSIONS_MAX:
        raise BadInput(f'tensor "{name}": more than {DIMENSIONS_MAX} dimensions')
    if math.prod(length or 1 for length in shape) > ELEMENTS_MAX:
        raise BadInput(f'tensor "{name}": more than {ELEMENTS_MAX} elements')
    return shape, math.prod(shape)


def _flatten(name: str, data: Any) -> "list[Any]":
    if not isinstance(data, list):
        raise BadInput(f'tensor "{name}": "data" must be a list')
    flat: list[Any] = data
    depth = 0
    while flat and isinstance(flat[0], list):
        depth += 1
        if set(map(type, flat)) != {list} or len(set(map(len, flat))) != 1:
            raise BadInput(f'tensor "{name}": the lists in "data" differ in length')
        if depth > DIMENSIONS_MAX:
            raise BadInput(f'tensor "{name}": "data" is nested deeper than {DIMENSIONS_MAX}')
        flat = list(itertools.chain.from_iterable(flat))
    return flat


def _from_json(name: str, datatype: str, flat: "list[Any]", parameters: "dict[str, Any]") -> "np.ndarray":
    kinds = set(map(type, flat))
    if datatype == "BYTES":
        if not kinds <= {str, NoneType}:
            raise BadInput(f'tensor "{name}": BYTES elements are JSON strings or null')
        return _texts(name, flat, parameters)
    if datatype == "BOOL":
        if not kinds <= {bool, NoneType}:
            raise BadInput(f'tensor "{name}": BOOL elements are true, false or null')
        return np.array(flat, dtype=np.object_ if NoneType in kinds else np.bool_)
    if datatype == "FP16":
        raise BadInput(f'tensor "{name}": FP16 has no JSON form; send it as binary tensor data')
    if datatype.startswith("FP"):
        return _floats(name, datatype, flat, kinds)
    return _integers(name, datatype, flat, kinds)


def _texts(name: str, flat: "list[str | None]", parameters: "dict[str, Any]") -> "np.ndarray":
    try:
        if parameters.get("content_type") == BASE64:
            return binary.objects([None if item is None else base64.b64decode(item, validate=True) for item in flat])
        "".join(item for item in flat if item is not None).encode()
    except (binascii.Error, ValueError) as error:
        kind = "text" if isinstance(error, UnicodeEncodeError) else BASE64
        raise BadInput(f'tensor "{name}": an element is not valid {kind}') from error
    return binary.objects(flat)


def _integers(name: str, datatype: str, flat: "list[Any]", kinds: "set[type]") -> "np.ndarray":
    kind = np.dtype(binary.NUMPY[datatype]).newbyteorder("=")
    try:
        if kinds <= {int, NoneType}:
            whole = np.array([0 if item is None else item for item in flat], dtype=kind)
            return _with_gaps(whole, flat) if NoneType in kinds else whole
    except OverflowError:
        pass
    limits = np.iinfo(kind)
    raise BadInput(f'tensor "{name}": {datatype} elements are integers from {limits.min} to {limits.max}')


def _with_gaps(whole: "np.ndarray", flat: "list[Any]") -> "np.ndarray":
    """Integers with null among them, as pandas reads them from JSON: floating-point numbers, where those are exact."""
    if not np.abs(whole.astype(np.float64)).max() < EXACT_MAX:
        return binary.objects(flat)
    return np.array([math.nan if item is None else item for item in flat], dtype=np.float64)


def _floats(name: str, datatype: str, flat: "list[Any]", kinds: "set[type]") -> "np.ndarray":
    if not kinds <= NUMBERS:
        raise BadInput(f'tensor "{name}": {datatype} elements are numbers or null')
    if type(None) in kinds:
        flat = [math.nan if item is None else item for item in flat]
    try:
        wide = np.array(flat, dtype=np.float64)
    except OverflowError as error:
        raise BadInput(f'tensor "{name}": a number is too large for {datatype}') from error
    if datatype == "FP64":
        return wide
    with np.errstate(over="ignore"):
        narrow = wide.astype(np.float32)
    if not np.array_equal(np.isinf(narrow), np.isinf(wide)):
        raise BadInput(f'tensor "{name}": a number is too large for {datatype}')
    return narrow


def _as_texts(array: "np.ndarray") -> "np.ndarray":
    try:
        return binary.objects([item.decode() for item in array])
    except UnicodeDecodeError:
        return array


def encode_tensor(name: str, array: "np.ndarray", as_binary: bool) -> "tuple[dict[str, Any], bytes | None]":
    """One output tensor as it stands in the answer's JSON, and its bytes when they follow behind the JSON."""
    array = array.reshape(1) if array.ndim == 0 else array
    if isinstance(array, np.ma.MaskedArray):
        if not as_binary:
            return _with_null(name, array), None
        array = _with_nan(name, array)
    datatype, array = _typed(np.asarray(array))
    tensor: dict[str, Any] = {"name": name, "shape": list(array.shape), "datatype": datatype}
    if as_binary:
        raw = binary.encode(datatype, _bytes(array) if datatype == "BYTES" else array)
        tensor["parameters"] = {binary.SIZE: len(raw)}
        return tensor, raw
    if datatype == "FP16":
        array, tensor["datatype"] = array.astype(np.float32), "FP32"
    if datatype == "BYTES":
        tensor["data"], is_text = _json_texts(array)
        if not is_text:
            tensor["parameters"] = {"content_type": BASE64}
    else:
        tensor["data"] = _json_numbers(array)
    return tensor, None


def _with_null(name: str, array: "np.ndarray") -> "dict[str, Any]":
    """A tensor of integers or booleans of which some may be missing."""
    return {
        "name": name,
        "shape": list(array.shape),
        "datatype": datatype_of(array.dtype),
        "data": array.reshape(-1).tolist(),
    }


def _with_nan(name: str, array: "np.ndarray") -> "np.ndarray":
    """The same for binary data, which knows what is missing only among floating-point numbers.

    Raises BadInput when those cannot be exact.
    """
    wide: np.ndarray = np.ma.filled(array.astype(np.float64), np.nan)
    if bool((np.abs(wide) >= EXACT_MAX).any()):
        raise BadInput(f'output "{name}" has missing values and integers too large for FP64: ask for JSON')
    return wide


def datatype_of(kind: Any) -> str:
    """The datatype that carries arrays of a numpy type."""
    return DATATYPE_OF.get(np.dtype(kind).newbyteorder("="), "BYTES")


def _typed(array: "np.ndarray") -> "tuple[str, np.ndarray]":
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    datatype = datatype_of(array.dtype)
    if datatype != "BYTES":
        return datatype, array
    if array.dtype.kind == "M":
        texts = np.datetime_as_string(array).astype(object)
        texts[np.isnat(array)] = ""
        return datatype, texts
    if array.dtype.kind == "m":
        array = binary.objects([pd.Timedelta(item) for item in array.reshape(-1)]).reshape(array.shape)
    items = [_element(item) for item in array.reshape(-1).tolist()]
    return datatype, binary.objects(items).reshape(array.shape)


def _element(item: Any) -> "str | bytes":
    """What stands for one Python object: missing is empty, a structure is its JSON, times are ISO 8601, anything else
    is what it says of itself.
    """
    if isinstance(item, (str, bytes)):
        return item
    if item is None or item is pd.NA or item is pd.NaT or (isinstance(item, float) and math.isnan(item)):
        return ""
    if isinstance(item, (datetime.date, datetime.time, pd.Timedelta)):
        return str(item.isoformat())
    if isinstance(item, datetime.timedelta):
        return str(pd.Timedelta(item).isoformat())
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, (dict, list, tuple, np.ndarray)):
        return json.dumps(_plain(item))
    return str(item)


def _plain(item: Any) -> Any:
    """A structure as JSON has it: without NaN and infinity, numbers of numpy as numbers."""
    if isinstance(item, dict):
        return {str(name): _plain(value) for name, value in item.items()}
    if isinstance(item, (list, tuple)):
        return [_plain(value) for value in item]
    if isinstance(item, (np.ndarray, np.generic)):
        return _plain(item.tolist())
    if isinstance(item, float):
        return item if math.isfinite(item) else None
    if isinstance(item, (bool, int, str)):
        return item
    if item is None or item is pd.NA or item is pd.NaT:
        return None
    text = _element(item)
    return text if isinstance(text, str) else base64.b64encode(text).decode()


def _bytes(array: "np.ndarray") -> "np.ndarray":
    flat = array.reshape(-1).tolist()
    return binary.objects([item.encode(errors="replace") if isinstance(item, str) else item for item in flat])


def _json_texts(array: "np.ndarray") -> "tuple[list[str], bool]":
    """The elements for JSON, and whether they are text and not base64."""
    flat = array.reshape(-1).tolist()
    try:
        return [item if isinstance(item, str) else item.decode() for item in flat], True
    except UnicodeDecodeError:
        return [base64.b64encode(item).decode() for item in _bytes(array)], False


def _json_numbers(array: "np.ndarray") -> "list[Any]":
    flat = array.reshape(-1)
    items: list[Any] = flat.tolist()
    if flat.dtype.kind == "f" and not np.isfinite(flat).all():
        return [item if math.isfinite(item) else None for item in items]
    return items
