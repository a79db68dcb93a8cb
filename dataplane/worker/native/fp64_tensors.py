"""OIP v2 requests of FP64 tensors decoded by a schema compiled once: one tensor per column, or one matrix.

What the schema does not take is given to `oip_plain`, which is slower and knows more forms; what is not plain at all
gives None.
"""

import array
import itertools
from typing import Any, Literal

import msgspec
import numpy as np

from dataplane.worker.oip import plain, protocol

COLUMNS = "oip_columns"
MATRIX = "oip_matrix"
type_Read = tuple[str, np.ndarray, "dict[str, Any]"]


class _TensorParameters(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    content_type: str = ""


# Parameters of a request that are no model's and change no answer. Numbers as `float`: their value is of no interest.
type_Idle = str | bool | float | None
# Names that do: how the answer is encoded, and what is refused.
MEANT = frozenset((protocol.BINARY_OUTPUTS, protocol.SHARED_MEMORY))


class _Flat(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A tensor with flat data.

    The shape stays text: there are many tensors in a request, and their shapes are equal.
    """

    name: str
    shape: msgspec.Raw
    datatype: Literal["FP64"]
    data: "list[float]"
    parameters: "_TensorParameters | msgspec.UnsetType" = msgspec.UNSET


class _Nested(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: str
    shape: msgspec.Raw
    datatype: Literal["FP64"]
    data: "list[list[float]]"
    parameters: "_TensorParameters | msgspec.UnsetType" = msgspec.UNSET


class _FlatRequest(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    inputs: "list[_Flat]"
    id: "str | msgspec.UnsetType" = msgspec.UNSET
    parameters: "dict[str, type_Idle]" = {}


class _NestedRequest(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    inputs: "list[_Nested]"
    id: "str | msgspec.UnsetType" = msgspec.UNSET
    parameters: "dict[str, type_Idle]" = {}


class Tensors:
    """The decoder of the tensors of one signature, all of whose columns are doubles."""

    def __init__(self, names: "list[str]") -> None:
        self._names = names
        self._flat = msgspec.json.Decoder(_FlatRequest)
        self._nested = msgspec.json.Decoder(_NestedRequest)

    def read(self, body: bytes, header_length: "int | None") -> "type_Read | None":
        """Form, rows as a matrix in the order of the signature, and what the answer depends on; None when it is not
        plain.
        """
        read = self._typed(body) if header_length is None else None
        return read or plain.read(body, header_length, self._names)

    def _typed(self, body: bytes) -> "type_Read | None":
        request = self._decoded(body)
        if request is None or not request.inputs or not MEANT.isdisjoint(request.parameters):
            return None
        tensors = request.inputs
        is_matrix = len(tensors) == 1 and len(self._names) > 1
        rows = self._matrix(tensors[0]) if is_matrix else self._columns(tensors)
        if rows is None or not rows.size:
            return None
        asked = {} if request.id is msgspec.UNSET else {"id": request.id}
        return MATRIX if is_matrix else COLUMNS, rows, asked

    def _decoded(self, body: bytes) -> Any:
        for decoder in (self._flat, self._nested):
            try:
                return decoder.decode(body)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue
        return None

    def _matrix(self, tensor: "_Flat | _Nested") -> "np.ndarray | None":
        width, data = len(self._names), tensor.data
        if not tensor.name or not data:
            return None
        if isinstance(tensor, _Nested):
            count, widths = len(data), set(map(len, tensor.data))
            data = list(itertools.chain.from_iterable(tensor.data))
        else:
            count, widths = len(data) // width, {width}
        is_whole = widths == {width} and len(data) == count * width and _text(tensor.shape) == f"[{count},{width}]"
        return np.array(data, dtype=np.float64).reshape(count, width) if is_whole else None

    def _columns(self, tensors: "list[Any]") -> "np.ndarray | None":
        shape, columns, count = tensors[0].shape, [tensor.data for tensor in tensors], len(tensors[0].data)
        if [tensor.name for tensor in tensors] != self._names or set(map(len, columns)) != {count}:
            return None
        if [tensor.shape for tensor in tensors].count(shape) != len(tensors):
            return None
        text = _text(shape)
        if isinstance(tensors[0], _Nested):
            if text != f"[{count},1]" or {len(item) for column in columns for item in column} != {1}:
                return None
            columns = [list(itertools.chain.from_iterable(column)) for column in columns]
        elif text not in (f"[{count},1]", f"[{count}]"):
            return None
        return _beside_each_other(columns, count)


def _text(shape: msgspec.Raw) -> str:
    """The JSON of a shape without blanks."""
    return b"".join(bytes(shape).split()).decode()


def _beside_each_other(columns: "list[list[float]]", count: int) -> np.ndarray:
    """Columns of `count` values as one matrix."""
    values = array.array("d")
    for column in columns:
        values.fromlist(column)
    return np.frombuffer(values).reshape(len(columns), count).T
