"""Frames between gateway and worker (docs/wire.md section 6): lengths, a JSON header, a raw body."""

import asyncio
import json
import struct
from typing import Any

HEADER_MAX_BYTES = 64 * 1024
BODY_MAX_BYTES = 64 * 1024 * 1024
_LENGTHS = struct.Struct(">II")


class FrameError(Exception):
    """The stream does not hold a valid frame; the connection must be closed."""


def encode_frame(header: "dict[str, Any]", body: bytes = b"") -> bytes:
    """Return one frame as bytes. Raises FrameError over the limits."""
    raw = json.dumps(header, separators=(",", ":")).encode()
    if len(raw) > HEADER_MAX_BYTES or len(body) > BODY_MAX_BYTES:
        raise FrameError("frame over its limit")
    return _LENGTHS.pack(len(raw), len(body)) + raw + body


def _checked_lengths(prefix: "bytes | bytearray") -> "tuple[int, int]":
    header_length, body_length = _LENGTHS.unpack_from(prefix)
    if header_length > HEADER_MAX_BYTES or body_length > BODY_MAX_BYTES:
        raise FrameError("frame over its limit")
    return header_length, body_length


def _header(raw: "bytes | bytearray") -> "dict[str, Any]":
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise FrameError("the header is not JSON") from error
    if not isinstance(header, dict):
        raise FrameError("the header is not an object")
    return header


class FrameBuffer:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._needed = _LENGTHS.size

    def feed(self, data: bytes) -> "list[tuple[dict[str, Any], bytes]]":
        """Return the frames that are whole now. Raises FrameError when the stream is malformed."""
        self._bytes += data
        frames = []
        while len(self._bytes) >= self._needed:
            header_length, body_length = _checked_lengths(self._bytes)
            begin = _LENGTHS.size + header_length
            end = begin + body_length
            if len(self._bytes) < end:
                self._needed = end
                break
            frames.append((_header(self._bytes[_LENGTHS.size : begin]), bytes(self._bytes[begin:end])))
            del self._bytes[:end]
            self._needed = _LENGTHS.size
        return frames


async def read_frame(reader: asyncio.StreamReader) -> "tuple[dict[str, Any], bytes]":
    """Read one frame. Raises FrameError when it is malformed, asyncio.IncompleteReadError at the end of the stream."""
    header_length, body_length = _checked_lengths(await reader.readexactly(_LENGTHS.size))
    raw = await reader.readexactly(header_length)
    body = await reader.readexactly(body_length) if body_length else b""
    return _header(raw), body
