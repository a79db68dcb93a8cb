"""OIP requests that are plain for the native path, though not in the form its JSON decoder takes: binary tensors,
requested outputs, any order.
"""

from typing import Any

import numpy as np

from dataplane.worker.answers import BadInput
from dataplane.worker.oip import protocol

DATATYPE = "FP64"


def read(
    body: bytes, header_length: "int | None", names: "list[str]"
) -> "tuple[str, np.ndarray, dict[str, Any]] | None":
    """Form, rows as a matrix in the order of `names`, and the request of one FP64 matrix or of one FP64 tensor per
    column.

    None for everything else, missing values included: the general way decides what it is.
    """
    try:
        request = protocol.parse_request(body, header_length)
        if any(tensor.get("datatype") != DATATYPE for tensor in request["inputs"]):
            return None
        tensors = [protocol.decode_tensor(tensor) for tensor in request["inputs"]]
    except BadInput:
        return None
    matrix: np.ndarray | None
    if len(tensors) == 1 and len(names) > 1:
        form, matrix = "oip_matrix", tensors[0][1]
    else:
        form, matrix = "oip_columns", _beside_each_other(tensors, names)
    if matrix is None or matrix.ndim != 2 or matrix.shape[1] != len(names) or not matrix.size:
        return None
    return None if np.isnan(matrix).any() else (form, matrix, request)


def _beside_each_other(tensors: "list[tuple[str, np.ndarray]]", names: "list[str]") -> "np.ndarray | None":
    """The columns as one matrix, None unless each of `names` is there once, [n] or [n, 1], and equally long."""
    columns = dict(tensors)
    if len(columns) != len(tensors) or columns.keys() != set(names):
        return None
    length = tensors[0][1].size
    if any(array.shape not in ((length,), (length, 1)) for array in columns.values()):
        return None
    return np.stack([columns[name].reshape(-1) for name in names], axis=1)
