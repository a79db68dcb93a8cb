"""Requests decoded by a schema compiled once: the plain forms in which all values have exactly the types of the signature.

Whatever is not plain (nulls, other types, unknown fields, other column orders, parameters) gives None, and goes the general way.
"""

from typing import Any, NamedTuple

import msgspec

from deployments.serving import oip_plain

# MLflow type of a column → the Python type its JSON values must have. Others have no plain form.
PLAIN = {"double": float, "float": float, "long": int, "integer": int, "boolean": bool, "string": str}
# Beyond it a JSON integer is not exactly a double, and MLflow refuses what is not exact.
EXACT_INTEGER_MAX = 2**53
type_Row = tuple[Any, ...]


class Plain(NamedTuple):
    """A decoded request: its form, its rows in the order of the signature, and of OIP's what its answer depends on."""

    form: str
    rows: "list[type_Row]"
    asked: "dict[str, Any]" = {}


class Forms:
    """The decoders of one signature. `forms` names what is accepted; the proof takes away what was not equal."""

    def __init__(self, names: "list[str]", kinds: "list[str]") -> None:
        types = [PLAIN[kind] for kind in kinds]
        self.names = names
        self.kinds = kinds
        self.forms = {"dataframe_split", "dataframe_records", "instances", "inputs"}
        self._floats = [place for place, kind in enumerate(types) if kind is float]
        self._invocations = msgspec.json.Decoder(_invocations_type(names, types))
        self._oip = None
        if set(kinds) == {"double"}:
            self.forms |= {"oip_matrix", "oip_columns"}
            self._oip = msgspec.json.Decoder(_OipRequest)

    def invocations(self, body: bytes) -> "Plain | None":
        """Return a plain request of MLflow's scoring protocol, else None."""
        try:
            request = self._invocations.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        given = [name for name in request.__struct_fields__ if getattr(request, name) is not msgspec.UNSET]
        if len(given) != 1 or given[0] not in self.forms:
            return None
        value = getattr(request, given[0])
        if given[0] == "dataframe_split":
            rows = value.data if value.columns == self.names else []
        elif given[0] == "inputs":
            columns = msgspec.structs.astuple(value)
            rows = list(zip(*columns, strict=True)) if len({len(column) for column in columns}) == 1 else []
        else:
            rows = [msgspec.structs.astuple(record) for record in value]
        return Plain(given[0], rows) if rows else None

    def oip(self, body: bytes, header_length: "int | None" = None) -> "Plain | None":
        """Return a plain request of OIP v2 (one FP64 matrix, or one FP64 tensor per column), else None."""
        if self._oip is None:
            return None
        plain = self._oip_json(body) if header_length is None else None
        if plain is not None:
            return plain
        read = oip_plain.read(body, header_length, self.names)
        return Plain(*read) if read is not None and read[0] in self.forms else None

    def _oip_json(self, body: bytes) -> "Plain | None":
        assert self._oip is not None
        try:
            request = self._oip.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        if any(tensor.datatype != "FP64" for tensor in request.inputs):
            return None
        asked = {} if request.id is msgspec.UNSET else {"id": request.id}
        if len(request.inputs) == 1 and len(self.names) > 1:
            rows, form = self._matrix(request.inputs[0]), "oip_matrix"
        else:
            rows, form = self._columns(request.inputs), "oip_columns"
        return Plain(form, rows, asked) if rows and form in self.forms else None

    def _matrix(self, tensor: "_OipTensor") -> "list[type_Row]":
        width, data = len(self.names), tensor.data
        if len(tensor.shape) != 2 or tensor.shape[1] != width or not data:
            return []
        if isinstance(data[0], list):
            nested = [tuple(row) for row in data if isinstance(row, list) and len(row) == width]
            return nested if len(nested) == len(data) == tensor.shape[0] else []
        if len(data) != tensor.shape[0] * width or list in set(map(type, data)):
            return []
        flat: Any = data
        return [tuple(flat[begin : begin + width]) for begin in range(0, len(flat), width)]

    def _columns(self, tensors: "list[_OipTensor]") -> "list[type_Row]":
        length = len(tensors[0].data) if tensors else 0
        if [tensor.name for tensor in tensors] != self.names:
            return []
        for tensor in tensors:
            is_column = tensor.shape in ([length], [length, 1]) and len(tensor.data) == length
            if not is_column or list in set(map(type, tensor.data)):
                return []
        return list(zip(*[tensor.data for tensor in tensors], strict=True))


class _OipTensor(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    shape: "list[int]"
    datatype: str
    data: "list[float | list[float]]"


class _OipRequest(msgspec.Struct, forbid_unknown_fields=True):
    inputs: "list[_OipTensor]"
    id: "str | msgspec.UnsetType" = msgspec.UNSET


def _invocations_type(names: "list[str]", types: "list[type]") -> Any:
    """Return the type of a plain request body: one optional field per form, each with the signature's own types."""
    fields = [f"c{place}" for place in range(len(names))]
    rename = dict(zip(fields, names, strict=True))
    record = msgspec.defstruct(
        "Record", list(zip(fields, types, strict=True)), rename=rename, forbid_unknown_fields=True
    )
    listed = [(field, list[kind]) for field, kind in zip(fields, types, strict=True)]  # type: ignore[valid-type]
    columns = msgspec.defstruct("Columns", listed, rename=rename, forbid_unknown_fields=True)
    row = tuple[tuple(types)]  # type: ignore[misc, valid-type]
    split = msgspec.defstruct("Split", [("columns", list[str]), ("data", list[row])], forbid_unknown_fields=True)  # type: ignore[valid-type]
    forms = {"dataframe_split": split, "dataframe_records": list[record], "instances": list[record], "inputs": columns}  # type: ignore[valid-type]
    optional = [(name, kind | msgspec.UnsetType, msgspec.UNSET) for name, kind in forms.items()]
    return msgspec.defstruct("Body", optional, forbid_unknown_fields=True)
