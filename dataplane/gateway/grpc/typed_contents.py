"""Typed contents of a tensor in a message ↔ the raw little-endian bytes of the binary tensor data extension.

Without numpy: the gateway stays light.
"""

import struct
from collections.abc import Sequence
from typing import Any

# Datatype → the list of InferTensorContents that holds its elements, and the elements' form in `struct`.
FORMS = {
    "BOOL": ("bool_contents", "?"),
    "INT8": ("int_contents", "b"),
    "INT16": ("int_contents", "h"),
    "INT32": ("int_contents", "i"),
    "INT64": ("int64_contents", "q"),
    "UINT8": ("uint_contents", "B"),
    "UINT16": ("uint_contents", "H"),
    "UINT32": ("uint_contents", "I"),
    "UINT64": ("uint64_contents", "Q"),
    "FP32": ("fp32_contents", "f"),
    "FP64": ("fp64_contents", "d"),
}
BYTES_LIST = "bytes_contents"


class Unfit(ValueError):
    """The elements are not of the tensor's datatype; the text says why."""


def raw_of(datatype: str, contents: Any) -> bytes:
    """The elements of an InferTensorContents as raw bytes. Raises Unfit."""
    if datatype == "BYTES":
        wanted = BYTES_LIST
    elif datatype in FORMS:
        wanted = FORMS[datatype][0]
    else:
        raise Unfit(f"{datatype or 'no datatype'} has no typed contents; send raw_input_contents")
    strange = [field.name for field, _ in contents.ListFields() if field.name != wanted]
    if strange:
        raise Unfit(f"{datatype} elements belong into {wanted}, not {strange[0]}")
    return pack(datatype, getattr(contents, wanted))


def pack(datatype: str, values: Sequence[Any]) -> bytes:
    """Return `values` as raw bytes. Raises Unfit when one is not of the datatype."""
    if datatype == "BYTES":
        return b"".join(part for item in values for part in (struct.pack("<I", len(item)), item))
    try:
        return struct.pack(f"<{len(values)}{FORMS[datatype][1]}", *values)
    except (struct.error, OverflowError) as error:
        raise Unfit(f"an element is out of the range of {datatype}") from error
