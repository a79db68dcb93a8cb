"""What an MLflow model takes, as tensors of the Open Inference Protocol v2.

A column schema is one tensor per column of shape [n] or [n, 1], or one tensor [n, columns] in the order of the
signature. A column of arrays is one tensor [n, …]; a column of objects is BYTES with the JSON of each. A tensor schema
is one tensor per input. MLflow type → datatype: boolean BOOL, integer INT32, long INT64, float FP32, double FP64,
string, datetime (ISO 8601) and binary BYTES. Without a signature tensors are columns of a DataFrame, one matrix is a
DataFrame, and any other single tensor an array.
"""

import json
from typing import Any

import numpy as np
import pandas as pd

from dataplane.worker.answers import BadInput
from dataplane.worker.oip import binary
from dataplane.worker.oip.tensors import datatype_of

OF_MLFLOW = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
    "datetime": "BYTES",
    "binary": "BYTES",
}
PLATFORM = "mlflow_pyfunc"
STRUCTURES = ("Object", "Map", "AnyType")


def model_input(tensors: "list[tuple[str, np.ndarray]]", schema: Any, *, as_list: bool = False) -> Any:
    """What `pyfunc.predict` takes, out of decoded tensors and the model's input schema (None without signature).

    A model whose type hints are its signature takes a list (`as_list`).
    """
    names = [name for name, _ in tensors]
    if len(set(names)) != len(names):
        raise BadInput("two tensors have the same name")
    if schema is not None and schema.is_tensor_spec():
        return _tensor_input(tensors, schema)
    if as_list and not (schema is not None and schema.has_input_names()):
        return _list_input(tensors, schema)
    if len(tensors) == 1 and not _is_a_column(schema, *tensors[0]):
        array = tensors[0][1]
        if array.ndim == 2:
            return _matrix_input(array, schema)
        if schema is None and array.ndim != 1:
            return array
    kinds = _column_kinds(schema)
    # Columns of a table that came from numpy have numbers for names; in a request they are text.
    own = {str(name): name for name in kinds}
    columns = {own.get(name, name): _column(name, array, kinds.get(own.get(name, name), "")) for name, array in tensors}
    if len({len(column) for column in columns.values()}) != 1:
        raise BadInput("all columns must have the same number of rows")
    return _fit_columns(pd.DataFrame(columns), kinds)


def _list_input(tensors: "list[tuple[str, np.ndarray]]", schema: Any) -> "list[Any]":
    if len(tensors) != 1:
        raise BadInput(f"the model takes one tensor, the request has {len(tensors)}")
    name, array = tensors[0]
    kind = kind_of(schema.inputs[0].type) if schema is not None and schema.inputs else ""
    column = _column(name, array, kind)
    fitted = _fit_columns(pd.DataFrame({name: column}), {name: kind})[name]
    return [item.tolist() if isinstance(item, np.ndarray | np.generic) else item for item in fitted.tolist()]


def _is_a_column(schema: Any, name: str, array: np.ndarray) -> bool:
    """Whether a lone tensor is one column of the model: it has its name, and is not as wide as all of them."""
    if schema is None or not schema.has_input_names():
        return False
    names = [str(known) for known in schema.input_names()]
    return name in names and (len(names) == 1 or array.ndim != 2 or array.shape[1] != len(names))


def _column_kinds(schema: Any) -> "dict[Any, str]":
    """The MLflow type of each named column: a name of OF_MLFLOW, "Array", or one of STRUCTURES."""
    if schema is None or not schema.has_input_names():
        return {}
    return {column.name: kind_of(column.type) for column in schema.inputs}


def kind_of(column_type: Any) -> str:
    """The name of an MLflow column type; of a structured one its class."""
    return str(getattr(column_type, "name", "") or type(column_type).__name__)


def _column(name: str, array: "np.ndarray", kind: str) -> Any:
    if kind == "Array" and array.ndim > 1 and not _is_of_texts(array):
        return list(array) if array.ndim == 2 else [row.tolist() for row in array]
    if array.ndim == 0 or array.size != array.shape[0]:
        if kind == "Array" and array.ndim > 1:
            return [row.tolist() for row in array]
        raise BadInput(f'tensor "{name}": a column has shape [n] or [n, 1], not {list(array.shape)}')
    flat = array.reshape(-1)
    # Arrays of different lengths have no shape: each comes as its JSON.
    return _from_json_texts(name, flat) if kind == "Array" and array.ndim == 1 and _is_of_texts(array) else flat


def _is_of_texts(array: "np.ndarray") -> bool:
    return array.dtype == np.object_ and all(isinstance(item, str) for item in array.reshape(-1).tolist())


def _from_json_texts(name: str, texts: "np.ndarray") -> "np.ndarray":
    try:
        return binary.objects([item if item is None else json.loads(item) for item in texts])
    except (ValueError, TypeError, RecursionError) as error:
        raise BadInput(f'tensor "{name}": {error}') from error


def _tensor_input(tensors: "list[tuple[str, np.ndarray]]", schema: Any) -> Any:
    if not schema.has_input_names():
        if len(tensors) != 1:
            raise BadInput(f"the model takes one tensor, the request has {len(tensors)}")
        return _fit_tensor(*tensors[0], schema.inputs[0])
    given = dict(tensors)
    missing = [spec.name for spec in schema.inputs if spec.name not in given]
    if missing:
        raise BadInput(f'the model takes the tensor "{missing[0]}", which the request does not have')
    return {spec.name: _fit_tensor(spec.name, given[spec.name], spec) for spec in schema.inputs}


def _fit_tensor(name: str, array: "np.ndarray", spec: Any) -> "np.ndarray":
    """Give BYTES the numpy type of the signature; everything else must be it already, as MLflow checks."""
    wanted = np.dtype(spec.type)
    if array.dtype != object or wanted.kind not in "US":
        return array
    items = array.reshape(-1).tolist()
    try:
        if wanted.kind == "U":
            return np.array([item if isinstance(item, str) else item.decode() for item in items], "U").reshape(
                array.shape
            )
        return np.array([item.encode() if isinstance(item, str) else item for item in items], "S").reshape(array.shape)
    except UnicodeDecodeError as error:
        raise BadInput(f'tensor "{name}": an element is not UTF-8 text') from error


def _matrix_input(array: "np.ndarray", schema: Any) -> Any:
    if schema is None:
        return pd.DataFrame(array)
    wanted = schema.input_names() if schema.has_input_names() else list(range(len(schema.inputs)))
    if array.shape[1] != len(wanted):
        raise BadInput(f"the model takes {len(wanted)} columns, the tensor has {array.shape[1]}")
    return _fit_columns(pd.DataFrame(array, columns=wanted), _column_kinds(schema))


def _fit_columns(frame: pd.DataFrame, kinds: "dict[Any, str]") -> pd.DataFrame:
    """Give datetimes, bytes and structures their types; leave the rest to MLflow's own schema enforcement."""
    for name, kind in kinds.items():
        if name not in frame:
            continue
        column = frame[name]
        try:
            if kind == "datetime":
                frame[name] = pd.to_datetime(
                    column, format=None if pd.api.types.is_numeric_dtype(column.dtype) else "ISO8601"
                )
            elif kind == "binary":
                frame[name] = [item.encode() if isinstance(item, str) else item for item in column]
            elif kind == "float" and column.dtype == np.float64:
                frame[name] = column.astype(np.float32)
            elif kind in STRUCTURES:
                frame[name] = _from_json_texts(name, column.to_numpy())
            elif kind == "string" and any(isinstance(item, bytes) for item in column):
                raise ValueError("an element is not UTF-8 text")
        except (ValueError, TypeError, OverflowError, AttributeError, RecursionError) as error:
            raise BadInput(f'tensor "{name}": {error}') from error
    return frame


def metadata(model_name: str, version: str, signature: Any) -> "dict[str, Any]":
    """OIP model metadata out of an MLflow signature (None: no inputs and outputs are told)."""
    inputs = _specs(signature.inputs, "input") if signature is not None and signature.inputs else []
    outputs = _specs(signature.outputs, "predict") if signature is not None and signature.outputs else []
    return {"name": model_name, "versions": [version], "platform": PLATFORM, "inputs": inputs, "outputs": outputs}


def _specs(schema: Any, fallback: str) -> "list[dict[str, Any]]":
    specs = []
    for number, column in enumerate(schema.inputs):
        nameless = fallback if len(schema.inputs) == 1 else f"{fallback}-{number}"
        name = nameless if column.name is None else column.name
        if schema.is_tensor_spec():
            datatype, shape = datatype_of(column.type), [int(length) for length in column.shape]
        else:
            datatype, shape = _column_spec(column.type)
        specs.append({"name": str(name), "datatype": datatype, "shape": shape})
    return specs


def _column_spec(column_type: Any) -> "tuple[str, list[int]]":
    shape = [-1]
    while kind_of(column_type) == "Array":
        column_type = column_type.dtype
        shape.append(-1)
    return OF_MLFLOW.get(kind_of(column_type), "BYTES"), shape
