"""OIP's binary tensor data extension: raw tensors after the JSON header, in the order of the tensors.

Elements are row-major and little-endian. BOOL is one byte, zero for false. An element of BYTES is its length as 4 bytes
and then that many bytes.
"""

import struct
from typing import Any

import numpy as np

from dataplane.worker.answers import BadInput

NUMPY: "dict[str, str]" = {
    "BOOL": "|b1",
    "UINT8": "|u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "|i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
SIZE = "binary_data_size"
RAW = "raw"
_LENGTH = struct.Struct("<I")


def split(body: bytes, header_length: "int | None") -> "tuple[bytes, memoryview]":
    """The JSON and the raw tensors of a body. Raises BadInput when the JSON is longer than the body."""
    if header_length is None:
        return body, memoryview(b"")
    if not 0 <= header_length <= len(body):
        raise BadInput(f"Inference-Header-Content-Length is {header_length}, but the body has {len(body)} bytes")
    view = memoryview(body)
    return bytes(view[:header_length]), view[header_length:]


def attach(inputs: "list[dict[str, Any]]", raw: memoryview, has_header: bool) -> None:
    """Give each tensor with a `binary_data_size` its bytes under RAW.

    Raises BadInput unless the sizes are those of `raw`.
    """
    offset = 0
    for tensor in inputs:
        tensor.pop(RAW, None)
        size = (tensor.get("parameters") or {}).get(SIZE)
        if size is None:
            continue
        name = tensor.get("name")
        if not has_header:
            raise BadInput(f'tensor "{name}": binary data needs the header Inference-Header-Content-Length')
        if type(size) is not int or size < 0:
            raise BadInput(f'tensor "{name}": {SIZE} must be a non-negative integer')
        if "data" in tensor:
            raise BadInput(f'tensor "{name}": it has both "data" and {SIZE}')
        if offset + size > len(raw):
            raise BadInput(f'tensor "{name}": {SIZE} is {size}, but {len(raw) - offset} bytes are left in the body')
        tensor[RAW] = raw[offset : offset + size]
        offset += size
    if offset != len(raw):
        raise BadInput(f"the body has {len(raw) - offset} bytes after its last tensor")


def decode(name: str, datatype: str, raw: memoryview, count: int) -> "np.ndarray":
    """Return `count` elements as a flat array of its own memory; BYTES are `bytes` objects.

    Raises BadInput for a wrong size.
    """
    if datatype == "BYTES":
        return objects(_decode_bytes(name, raw, count))
    kind = np.dtype(NUMPY[datatype])
    if len(raw) != count * kind.itemsize:
        raise BadInput(
            f'tensor "{name}": {count} elements of {datatype} are {count * kind.itemsize} bytes, not {len(raw)}'
        )
    array: np.ndarray = np.frombuffer(raw, dtype=np.uint8 if datatype == "BOOL" else kind)
    return array.astype(kind.newbyteorder("="))


def _decode_bytes(name: str, raw: memoryview, count: int) -> "list[bytes]":
    items: list[bytes] = []
    offset = 0
    while offset < len(raw):
        if offset + _LENGTH.size > len(raw):
            raise BadInput(f'tensor "{name}": the length of element {len(items)} is cut off')
        (length,) = _LENGTH.unpack_from(raw, offset)
        offset += _LENGTH.size
        if offset + length > len(raw):
            raise BadInput(f'tensor "{name}": element {len(items)} has {length} bytes, {len(raw) - offset} are left')
        items.append(bytes(raw[offset : offset + length]))
        offset += length
    if len(items) != count:
        raise BadInput(f'tensor "{name}": its shape needs {count} elements, the binary data has {len(items)}')
    return items


def encode(datatype: str, array: "np.ndarray") -> bytes:
    """The elements of `array` as they go over the wire; those of BYTES must be `bytes` objects."""
    if datatype == "BYTES":
        return b"".join(part for item in array.reshape(-1) for part in (_LENGTH.pack(len(item)), item))
    return np.ascontiguousarray(array, dtype=NUMPY[datatype]).tobytes()


def objects(items: "list[Any]") -> "np.ndarray":
    """A flat array of Python objects, whatever they are."""
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array
