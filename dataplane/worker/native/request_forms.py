"""Requests decoded by a schema compiled once: the plain forms in which all values have exactly the types of the
signature.

Whatever is not plain (nulls, other types, unknown fields, other column orders, parameters) gives None, and goes the
general way.
"""

from typing import Any, NamedTuple

import msgspec
import numpy as np

from dataplane.worker.native import fp64_tensors

# MLflow type of a column → the Python type its JSON values must have. Others have no plain form.
PLAIN = {"double": float, "float": float, "long": int, "integer": int, "boolean": bool, "string": str}
# Beyond it a JSON integer is not exactly a double, and MLflow refuses what is not exact.
EXACT_INTEGER_MAX = 2**53
# MLflow's own forms, each of which has a plain one.
TABLES = ("dataframe_split", "dataframe_records", "instances", "inputs")
type_Row = tuple[Any, ...]
# Tensors are a matrix of doubles already.
type_Rows = list[type_Row] | np.ndarray


class Plain(NamedTuple):
    """A decoded request: its form, its rows in the order of the signature, and of OIP's what its answer depends on."""

    form: str
    rows: type_Rows
    asked: "dict[str, Any]" = {}


class Forms:
    """The decoders of one signature. `forms` names what is accepted; the proof takes away what was not equal."""

    def __init__(self, names: "list[str]", kinds: "list[str]") -> None:
        types = [PLAIN[kind] for kind in kinds]
        self.names = names
        self.kinds = kinds
        self.forms = set(TABLES)
        self._invocations = msgspec.json.Decoder(_invocations_type(names, types))
        self._tensors = None
        if set(kinds) == {"double"}:
            self.forms |= {fp64_tensors.MATRIX, fp64_tensors.COLUMNS}
            self._tensors = fp64_tensors.Tensors(names)

    def invocations(self, body: bytes) -> "Plain | None":
        """A plain request of MLflow's scoring protocol, else None."""
        try:
            request = self._invocations.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        given = [name for name in request.__struct_fields__ if getattr(request, name) is not msgspec.UNSET]
        if len(given) != 1 or given[0] not in self.forms:
            return None
        value = getattr(request, given[0])
        if given[0] == "dataframe_split":
            rows: list[type_Row] = value.data if value.columns == self.names else []
        elif given[0] == "inputs":
            columns = msgspec.structs.astuple(value)
            rows = list(zip(*columns, strict=True)) if len({len(column) for column in columns}) == 1 else []
        else:
            rows = [msgspec.structs.astuple(record) for record in value]
        return Plain(given[0], rows) if rows else None

    def oip(self, body: bytes, header_length: "int | None" = None) -> "Plain | None":
        """A plain request of OIP v2 (one FP64 matrix, or one FP64 tensor per column), else None."""
        read = self._tensors.read(body, header_length) if self._tensors is not None else None
        return Plain(*read) if read is not None and read[0] in self.forms else None


def _invocations_type(names: "list[str]", types: "list[type]") -> Any:
    """The type of a plain request body: one optional field per form, each with the signature's own types."""
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
