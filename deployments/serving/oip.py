"""Open Inference Protocol v2, REST form: tensors ↔ what an MLflow model takes and gives.

A column schema is one tensor per column of shape [n] or [n, 1], or one tensor [n, columns] in the order of the signature. A tensor schema is one
tensor per input. MLflow type → datatype: boolean BOOL, integer INT32, long INT64, float FP32, double FP64, string, datetime and binary BYTES.
"""

import json
from typing import Any

import numpy as np
import pandas as pd

from deployments.serving.answers import BadInput

DATATYPES: "dict[str, Any]" = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": object,
}
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
ELEMENTS_MAX = 16_000_000
INTEGER_RANGE = {name: np.iinfo(kind) for name, kind in DATATYPES.items() if "INT" in name}


def parse_request(body: bytes) -> "dict[str, Any]":
    """Return the request object. Raises BadInput when it is not one."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the body is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise BadInput("the body must be a JSON object")
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or not inputs or not all(isinstance(tensor, dict) for tensor in inputs):
        raise BadInput('"inputs" must be a list with at least one tensor')
    if "id" in request and not isinstance(request["id"], str):
        raise BadInput('"id" must be a string')
    if not isinstance(request.get("parameters", {}), dict):
        raise BadInput('"parameters" must be an object')
    outputs = request.get("outputs", [])
    if not isinstance(outputs, list) or not all(
        isinstance(o, dict) and isinstance(o.get("name"), str) for o in outputs
    ):
        raise BadInput('"outputs" must be a list of objects with a "name"')
    return request


def decode_tensor(tensor: "dict[str, Any]") -> "tuple[str, np.ndarray]":
    """Return name and array of one input tensor. Raises BadInput with the tensor's name."""
    name = tensor.get("name")
    if not isinstance(name, str) or not name:
        raise BadInput('every tensor needs a "name"')
    datatype = tensor.get("datatype")
    if datatype not in DATATYPES:
        known = ", ".join(DATATYPES)
        raise BadInput(f'tensor "{name}": datatype {datatype!r} has no JSON form; use one of {known}')
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise BadInput(f'tensor "{name}": "shape" must be a list of non-negative integers')
    flat = _flatten(name, tensor.get("data"))
    wanted = 1
    for length in shape:
        wanted *= length
    if wanted != len(flat):
        raise BadInput(f'tensor "{name}": shape {shape} needs {wanted} elements, "data" has {len(flat)}')
    return name, _as_array(name, datatype, flat).reshape(shape)


def _flatten(name: str, data: Any) -> "list[Any]":
    if not isinstance(data, list):
        raise BadInput(f'tensor "{name}": "data" must be a list')
    flat: list[Any] = []
    pending = [iter(data)]
    while pending:
        for item in pending[-1]:
            if isinstance(item, list):
                pending.append(iter(item))
                break
            flat.append(item)
            if len(flat) > ELEMENTS_MAX:
                raise BadInput(f'tensor "{name}": more than {ELEMENTS_MAX} elements')
        else:
            pending.pop()
    return flat


def _as_array(name: str, datatype: str, flat: "list[Any]") -> np.ndarray:
    if datatype == "BYTES":
        if not all(isinstance(item, str) for item in flat):
            raise BadInput(f'tensor "{name}": BYTES elements are JSON strings')
        return np.array(flat, dtype=object)
    if datatype == "BOOL":
        if not all(isinstance(item, bool) for item in flat):
            raise BadInput(f'tensor "{name}": BOOL elements are true or false')
        return np.array(flat, dtype=np.bool_)
    if datatype.startswith("FP"):
        return _floats(name, datatype, flat)
    limits = INTEGER_RANGE[datatype]
    if not all(type(item) is int and limits.min <= item <= limits.max for item in flat):
        raise BadInput(f'tensor "{name}": {datatype} elements are integers from {limits.min} to {limits.max}')
    return np.array(flat, dtype=DATATYPES[datatype])


def _floats(name: str, datatype: str, flat: "list[Any]") -> np.ndarray:
    if not all(item is None or type(item) in (int, float) for item in flat):
        raise BadInput(f'tensor "{name}": {datatype} elements are numbers or null')
    try:
        return np.array([np.nan if item is None else item for item in flat], dtype=DATATYPES[datatype])
    except OverflowError as error:
        raise BadInput(f'tensor "{name}": a number is too large for {datatype}') from error


def model_input(tensors: "list[tuple[str, np.ndarray]]", schema: Any) -> Any:
    """Return what `pyfunc.predict` takes, out of decoded tensors and the model's input schema (None without signature)."""
    names = [name for name, _ in tensors]
    if len(set(names)) != len(names):
        raise BadInput("two tensors have the same name")
    if schema is not None and schema.is_tensor_spec():
        return _tensor_input(tensors, schema)
    if len(tensors) == 1 and tensors[0][1].ndim == 2 and not (schema is not None and _is_one_column(schema, names[0])):
        return _matrix_input(tensors[0][1], schema)
    columns = {}
    for name, array in tensors:
        if array.ndim == 0 or array.size != array.shape[0]:
            raise BadInput(f'tensor "{name}": a column has shape [n] or [n, 1], not {list(array.shape)}')
        columns[name] = array.reshape(-1)
    if len({len(column) for column in columns.values()}) != 1:
        raise BadInput("all columns must have the same number of rows")
    return _fit_columns(pd.DataFrame(columns), schema)


def _is_one_column(schema: Any, name: str) -> bool:
    return bool(schema.has_input_names() and schema.input_names() == [name])


def _tensor_input(tensors: "list[tuple[str, np.ndarray]]", schema: Any) -> Any:
    if not schema.has_input_names():
        if len(tensors) != 1:
            raise BadInput(f"the model takes one tensor, the request has {len(tensors)}")
        return tensors[0][1]
    return dict(tensors)


def _matrix_input(array: np.ndarray, schema: Any) -> Any:
    if schema is None:
        return pd.DataFrame(array)
    wanted = schema.input_names() if schema.has_input_names() else list(range(len(schema.inputs)))
    if array.shape[1] != len(wanted):
        raise BadInput(f"the model takes {len(wanted)} columns, the tensor has {array.shape[1]}")
    return _fit_columns(pd.DataFrame(array, columns=wanted), schema)


def _fit_columns(frame: pd.DataFrame, schema: Any) -> pd.DataFrame:
    """Give datetime and binary columns their types; leave the rest to MLflow's own schema enforcement."""
    if schema is None or not schema.has_input_names():
        return frame
    for column in schema.inputs:
        kind = _type_name(column)
        if column.name not in frame:
            continue
        try:
            if kind == "datetime":
                frame[column.name] = pd.to_datetime(frame[column.name])
            elif kind == "binary":
                frame[column.name] = [item.encode() if isinstance(item, str) else item for item in frame[column.name]]
            elif kind == "float" and frame[column.name].dtype == np.float64:
                frame[column.name] = frame[column.name].astype(np.float32)
        except (ValueError, TypeError) as error:
            raise BadInput(f'column "{column.name}": {error}') from error
    return frame


def _type_name(column: Any) -> str:
    return getattr(getattr(column, "type", None), "name", "")


def encode_outputs(result: Any, wanted: "list[str]") -> "list[dict[str, Any]]":
    """Return the output tensors of a prediction, only those in `wanted` when it is not empty.

    A DataFrame gives one tensor per column, a dict one per key, anything else one tensor named `predict`. Raises BadInput for an unknown output.
    """
    outputs = {name: _encode_array(name, array) for name, array in _named_arrays(result)}
    unknown = [name for name in wanted if name not in outputs]
    if unknown:
        raise BadInput(f'the model has no output "{unknown[0]}"; it has {", ".join(outputs)}')
    return [outputs[name] for name in (wanted or outputs)]


def _named_arrays(result: Any) -> "list[tuple[str, np.ndarray]]":
    if isinstance(result, pd.DataFrame):
        return [(str(name), result[name].to_numpy()) for name in result.columns]
    if isinstance(result, dict):
        return [(str(name), np.asarray(value)) for name, value in result.items()]
    if isinstance(result, pd.Series):
        return [(str(result.name) if result.name is not None else "predict", result.to_numpy())]
    return [("predict", np.asarray(result))]


def _encode_array(name: str, array: np.ndarray) -> "dict[str, Any]":
    datatype = next((key for key, kind in DATATYPES.items() if array.dtype == kind and key != "BYTES"), None)
    if datatype is None and array.dtype == np.float16:
        array, datatype = array.astype(np.float32), "FP32"
    shape = list(array.shape) or [1]
    if datatype is None:
        texts = [item if isinstance(item, str) else _text(item) for item in array.reshape(-1).tolist()]
        return {"name": name, "shape": shape, "datatype": "BYTES", "data": texts}
    data: list[Any] = array.reshape(-1).tolist()
    if datatype.startswith("FP"):
        data = [item if item == item and abs(item) != float("inf") else None for item in data]
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def _text(item: Any) -> str:
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else json.dumps(item, default=str)


def metadata(model_name: str, version: str, signature: Any) -> "dict[str, Any]":
    """Return OIP model metadata out of an MLflow signature (None: no inputs and outputs are told)."""
    inputs = _specs(signature.inputs, "input") if signature is not None and signature.inputs else []
    outputs = _specs(signature.outputs, "predict") if signature is not None and signature.outputs else []
    return {"name": model_name, "versions": [version], "platform": PLATFORM, "inputs": inputs, "outputs": outputs}


def _specs(schema: Any, fallback: str) -> "list[dict[str, Any]]":
    specs = []
    for number, column in enumerate(schema.inputs):
        name = column.name or (fallback if len(schema.inputs) == 1 else f"{fallback}-{number}")
        if schema.is_tensor_spec():
            datatype: str | None = next((k for k, kind in DATATYPES.items() if column.type == kind), "BYTES")
            shape = list(column.shape)
        else:
            datatype, shape = OF_MLFLOW.get(_type_name(column), "BYTES"), [-1]
        specs.append({"name": name, "datatype": datatype, "shape": shape})
    return specs
