"""The limit of a request's body, before any of it is kept: Django would put it on the disk, however much comes."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.conf import settings

from mlorch_site.lib.errors import TooLarge
from mlorch_site.lib.http import error_body, new_request_id

DISCARD_MAX_BYTES = 16 * 1024 * 1024  # read and thrown away, so that whoever still sends gets to see the answer
DISCARD_MAX_S = 5.0

type_Scope = MutableMapping[str, Any]
type_Message = MutableMapping[str, Any]
type_Receive = Callable[[], Awaitable[type_Message]]
type_Send = Callable[[type_Message], Awaitable[None]]
type_Application = Callable[[Any, Any, Any], Awaitable[None]]


class BodyTooLarge(Exception):
    """More came than a body may have; `seen` bytes of it were read."""

    def __init__(self, seen: int) -> None:
        super().__init__()
        self.seen = seen


class BodyLimit:
    """Answers 413 to a body above `settings.BODY_MAX_BYTES`, whether its length was said or not."""

    def __init__(self, application: type_Application) -> None:
        self._application = application

    async def __call__(self, scope: type_Scope, receive: type_Receive, send: type_Send) -> None:
        limit, seen = settings.BODY_MAX_BYTES, 0

        async def counted() -> type_Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise BodyTooLarge(seen if message.get("more_body") else DISCARD_MAX_BYTES)
            return message

        try:
            if said_length(scope) > limit:
                raise BodyTooLarge(0)
            await self._application(scope, counted, send)
        except BodyTooLarge as error:
            await _discard(receive, error.seen)
            await _refuse(scope, send, limit)


def said_length(scope: type_Scope) -> int:
    """The length that the head says the body has, 0 when it says none that can be read."""
    said = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(said) if said.isdigit() and len(said) < 20 else 0


async def _discard(receive: type_Receive, seen: int) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_MAX_S):
            while seen < DISCARD_MAX_BYTES:
                message = await receive()
                seen += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body"):
                    return


async def _refuse(scope: type_Scope, send: type_Send, limit: int) -> None:
    offered = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
    identity, error = new_request_id(offered), TooLarge(f"A request's body has {limit} bytes at most.")
    body = json.dumps(error_body(error.code, error.message, error.details, identity)).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        (b"x-request-id", identity.encode()),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
