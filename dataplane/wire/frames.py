"""Frames between gateway and worker (docs/wire.md section 6): lengths, a JSON header, a raw body."""

import asyncio
import struct
from typing import Annotated, Generic, Literal

import msgspec
from msgspec import Meta, Struct

from dataplane.wire import shapes
from dataplane.wire.shapes import Count, HeaderText, Malformed, ShapeT

HEADER_MAX_BYTES = 64 * 1024
BODY_MAX_BYTES = 64 * 1024 * 1024
_LENGTHS = struct.Struct(">II")
_ENCODER = msgspec.json.Encoder()

Fault = Literal["client_error", "server_error"]
# Those that have a body: after another one a client would take the body for the next answer of the connection.
Status = Literal[
    0, 200, 201, 202, 203, 400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418,
    421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511,
]  # fmt: skip


class FrameError(Exception):
    """The stream does not hold a valid frame; the connection must be closed."""


class RequestHeader(Struct, frozen=True, omit_defaults=True):
    """What is asked: `hello`, `ping`, `invocations`, `infer`, `metadata`, `stream` or `cancel`, and how the body is to
    be read.

    `id` is unique in the connection. `sizes` cuts the body of a batch into requests, which share everything else.
    `header_length` is the length of the JSON before binary tensors. `cancel` names the `target` and in a batch the
    `item`.
    """

    op: str
    id: Count = 0
    content_type: str = ""
    accept: str = ""
    model_name: str = ""
    header_length: Count | None = None
    sizes: list[Count] | None = None
    target: Count | None = None
    item: Count | None = None


class AnswerRow(Struct, frozen=True, array_like=True):
    """One answer of a batch without its body; status 0 for a cancelled request. Fields as in `AnswerHeader`."""

    status: Status
    size: Count
    content_type: HeaderText = ""
    outcome: Fault | None = None
    header_length: Count | None = None


class AnswerHeader(Struct, frozen=True, omit_defaults=True):
    """An answer: of a batch its `answers` in order, else its own status. With `more` another part of a stream follows.

    `outcome` overrides what the status says of whose fault it is; `header_length` is the length of the JSON part of a
    binary answer. `took_us` is for how many microseconds the worker was busy with a batch.
    """

    id: Count
    status: Status = 200
    content_type: HeaderText = ""
    outcome: Fault | None = None
    header_length: Count | None = None
    more: bool = False
    answers: list[AnswerRow] | None = None
    took_us: Count | None = None


class Hello(Struct, frozen=True):
    """The body of the answer to `hello`: how many requests the worker takes at once, 1 when they must stay apart."""

    max_batch: Annotated[int, Meta(ge=1)] = 1


def encode_frame(header: RequestHeader | AnswerHeader, body: bytes = b"") -> bytes:
    """One frame as bytes. Raises FrameError over the limits."""
    raw = _ENCODER.encode(header)
    if len(raw) > HEADER_MAX_BYTES or len(body) > BODY_MAX_BYTES:
        raise FrameError("frame over its limit")
    return _LENGTHS.pack(len(raw), len(body)) + raw + body


def _checked_lengths(prefix: bytes | bytearray) -> tuple[int, int]:
    header_length, body_length = _LENGTHS.unpack_from(prefix)
    if header_length > HEADER_MAX_BYTES or body_length > BODY_MAX_BYTES:
        raise FrameError("frame over its limit")
    return header_length, body_length


class FrameBuffer(Generic[ShapeT]):
    """Cuts a stream of bytes into frames whose headers are of one shape."""

    def __init__(self, shape: type[ShapeT]) -> None:
        self._decoder = msgspec.json.Decoder(shape)
        self._bytes = bytearray()
        self._needed = _LENGTHS.size

    def feed(self, data: bytes) -> list[tuple[ShapeT, bytes]]:
        """The frames that are whole now. Raises FrameError when the stream is malformed."""
        self._bytes += data
        frames = []
        while len(self._bytes) >= self._needed:
            header_length, body_length = _checked_lengths(self._bytes)
            begin = _LENGTHS.size + header_length
            end = begin + body_length
            if len(self._bytes) < end:
                self._needed = end
                break
            frames.append((self._header(bytes(self._bytes[_LENGTHS.size : begin])), bytes(self._bytes[begin:end])))
            del self._bytes[:end]
            self._needed = _LENGTHS.size
        return frames

    def _header(self, raw: bytes) -> ShapeT:
        try:
            return self._decoder.decode(raw)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise FrameError(f"the header is malformed: {error}") from error


async def read_frame(reader: asyncio.StreamReader, shape: type[ShapeT]) -> tuple[ShapeT, bytes]:
    """Read one frame. Raises FrameError when it is malformed, asyncio.IncompleteReadError at the end of the stream."""
    header_length, body_length = _checked_lengths(await reader.readexactly(_LENGTHS.size))
    raw = await reader.readexactly(header_length)
    body = await reader.readexactly(body_length) if body_length else b""
    try:
        return shapes.read(shape, raw), body
    except Malformed as error:
        raise FrameError(f"the header is malformed: {error}") from error
