"""From a request's headers and body to what the core takes: its id, and the call itself."""

import random
import re
from collections.abc import Iterable

from dataplane.gateway import errors
from dataplane.gateway.core.inference import Call
from dataplane.gateway.http.paths import InferencePath
from dataplane.wire.frames import RequestHeader
from dataplane.wire.unit_buckets import UNIT_MAX_CHARS

type_Headers = dict[bytes, bytes]

REQUEST_ID = re.compile(rb"^[A-Za-z0-9_.\-]{8,64}$")
EVENT_STREAM = b"text/event-stream"
HEADER_LENGTH = b"inference-header-content-length"
ONCE = frozenset(
    {
        *(b"authorization", b"content-encoding", b"content-length", b"content-type", b"host"),
        *(b"x-mlorch-unit", HEADER_LENGTH),
    }
)


def single(pairs: Iterable[tuple[bytes, bytes]]) -> type_Headers:
    """The headers by name. Raises Refusal (400) when one that decides something stands there twice: whoever looked at
    the request before us may have taken the other one.
    """
    headers: type_Headers = {}
    for name, value in pairs:
        if name in headers and name in ONCE:
            raise errors.bad_header(f"The header {name.decode('latin-1')} may stand there once.")
        headers[name] = value
    return headers


def request_id(headers: type_Headers) -> bytes:
    """The client's own request id when it is a decent one, else a new one."""
    offered = headers.get(b"x-request-id")
    return offered if offered and REQUEST_ID.match(offered) else b"%032x" % random.getrandbits(128)


def call_of(path: InferencePath, headers: type_Headers, body: bytes, identity: bytes, limit: int) -> Call:
    """The call of an inference request whose body is whole. Raises Refusal (400, 413)."""
    environment, endpoint, op, version = path
    if len(body) > limit:
        raise errors.too_large(limit)
    if op == "infer":
        header = RequestHeader(op, model_name=endpoint, header_length=header_length_of(headers))
    else:
        content_type, accept = headers.get(b"content-type", b"").decode("latin-1"), headers.get(b"accept", b"")
        header = RequestHeader(op, content_type=content_type)
        if b'"stream"' in body or EVENT_STREAM in accept:
            header = RequestHeader("stream", content_type=content_type, accept=accept.decode("latin-1"))
    return Call(environment, endpoint, header, body, unit_of(headers), version, identity, headers)


def unit_of(headers: type_Headers) -> str:
    """The stable unit id of the request, empty when there is none."""
    return headers.get(b"x-mlorch-unit", b"").decode("latin-1")[:UNIT_MAX_CHARS]


def header_length_of(headers: type_Headers) -> int | None:
    """The length of the JSON part of a body with binary tensors, None without. Raises Refusal (400)."""
    length = headers.get(HEADER_LENGTH)
    if length is None:
        return None
    if not length.isdigit() or len(length) > 10:
        raise errors.bad_header("Inference-Header-Content-Length is a number of bytes.")
    return int(length)
