"""ASGI messages: bodies read within bounds, answers sent as they come."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from dataplane.gateway import errors
from dataplane.gateway.config import DISCARD_MAX_BYTES, STREAM_PART_TIMEOUT_S
from dataplane.gateway.http.calls import type_Headers
from dataplane.gateway.http.replies import HttpReply

type_Message = MutableMapping[str, Any]
type_Receive = Callable[[], Awaitable[type_Message]]
type_Send = Callable[[type_Message], Awaitable[None]]


RUNNING = "mlorch.running"  # in the scope: the connection's set of inferences, dropped when its client disconnects


class Disconnected(Exception):
    """The client went away before its request was whole."""


async def read_body(headers: type_Headers, receive: type_Receive, limit: int) -> bytes:
    """The whole body. Raises Refusal (413), Disconnected when the client went away."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise errors.too_large(limit)
        return body
    return await _read_parts(message, headers, receive, limit)


async def _read_parts(message: type_Message, headers: type_Headers, receive: type_Receive, limit: int) -> bytes:
    """Read a body that comes in parts.

    What is too large is read on for a while and thrown away: a client that is still sending would not see the answer
    otherwise.
    """
    length = headers.get(b"content-length", b"")
    is_refused = length.isdigit() and int(length) > limit
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        is_refused = is_refused or size > limit
        is_whole = not message.get("more_body", False)
        if is_refused and (is_whole or size > limit + DISCARD_MAX_BYTES):
            raise errors.too_large(limit)
        if is_refused:
            chunks.clear()
        else:
            chunks.append(chunk)
        if is_whole:
            return b"".join(chunks)
        message = await receive()


async def send_reply(reply: HttpReply, identity: bytes, send: type_Send) -> None:
    """Send an answer with the request's id, a streamed one part by part."""
    headers = [(b"content-type", reply.content_type), (b"x-request-id", identity), *reply.headers]
    if reply.parts is None:
        headers.append((b"content-length", b"%d" % len(reply.body)))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body, "more_body": reply.parts is not None})
    if reply.parts is not None:
        await _send_parts(reply.parts, send)


async def _send_parts(parts: "asyncio.Queue[bytes | None]", send: type_Send) -> None:
    """Send the rest of a streamed body as it comes; a stream that stops coming is ended."""
    while True:
        try:
            async with asyncio.timeout(STREAM_PART_TIMEOUT_S):
                part = await parts.get()
        except TimeoutError:
            part = None
        await send({"type": "http.response.body", "body": part or b"", "more_body": part is not None})
        if part is None:
            return
