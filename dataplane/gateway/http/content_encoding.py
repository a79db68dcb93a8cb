"""Compressed request bodies (RFC 9110, section 8.4): gzip and deflate, never larger than the endpoint takes."""

import zlib
from collections.abc import Callable

from dataplane.gateway import errors

IDENTITY = b"identity"
GZIP = 16 + zlib.MAX_WBITS
WRAPPED = zlib.MAX_WBITS
BARE = -zlib.MAX_WBITS  # deflate without its wrapping, which some clients send under the same name
MEMBERS_MAX = 1000
SUPPORTED = "gzip, deflate, identity"


def encoding_of(headers: dict[bytes, bytes]) -> bytes:
    """The content encoding of a request, `identity` when it has none. Raises Refusal (415) for any other."""
    named = headers.get(b"content-encoding", b"").strip().lower().removeprefix(b"x-") or IDENTITY
    if named not in (*DECODERS, IDENTITY):
        raise errors.unsupported_encoding(SUPPORTED)
    return named


def decoded(encoding: bytes, body: bytes, limit: int) -> bytes:
    """The body as it was before it was compressed. Raises Refusal (400 when it is malformed, 413 over the limit)."""
    if encoding == IDENTITY:
        return body
    try:
        return DECODERS[encoding](body, limit)
    except (zlib.error, EOFError) as error:
        raise errors.bad_header(f"The body is not what Content-Encoding says: {error}.") from error


def _gzip(body: bytes, limit: int) -> bytes:
    """One member or several, one after the other."""
    parts: list[bytes] = []
    for _ in range(MEMBERS_MAX):
        part, body = _inflated(body, limit - sum(map(len, parts)), GZIP)
        parts.append(part)
        if not body:
            return b"".join(parts)
    raise zlib.error("too many members")


def _deflate(body: bytes, limit: int) -> bytes:
    try:
        whole, rest = _inflated(body, limit, WRAPPED)
    except zlib.error:
        whole, rest = _inflated(body, limit, BARE)
    if rest:
        raise zlib.error("something follows its end")
    return whole


def _inflated(body: bytes, limit: int, format_: int) -> tuple[bytes, bytes]:
    """What is compressed at the beginning of a body, and what follows it."""
    inflater = zlib.decompressobj(format_)
    whole = inflater.decompress(body, limit + 1)
    if len(whole) > limit:
        raise errors.too_large(limit)
    if not inflater.eof:
        raise EOFError("its end is missing")
    return whole, inflater.unused_data


DECODERS: dict[bytes, Callable[[bytes, int], bytes]] = {b"gzip": _gzip, b"deflate": _deflate}
