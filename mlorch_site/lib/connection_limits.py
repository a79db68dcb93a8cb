"""What one HTTP connection to the web process may take: of its head, of time, and of connections of one address.

The web process's connections are uvicorn's with these limits; `scripts/up` names this class to it as `--http`. What
comes after the head, the body's size among it, is limited by the application (`body_limit`).
"""

import asyncio
import ipaddress
import json
from collections import Counter
from http import HTTPStatus
from typing import Any

from django.conf import settings
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from mlorch_site.lib.http import error_body, new_request_id
from mlorch_site.lib.peer import counted_as, is_trusted

HEAD_MAX_BYTES = 32 * 1024  # request line and headers; also of what follows a body
HEADERS_MAX = 100
URL_MAX_BYTES = 8 * 1024
HEAD_TIMEOUT_S = 10.0  # from the connection, or from the first byte, until the head is whole
BODY_TIMEOUT_S = 60.0
WRITE_TIMEOUT_S = 60.0  # for which a client may take nothing of an answer that waits for it
LINGER_S = 1.0  # what still comes after a refusal is thrown away for so long, so that its sender gets to see it

LATE = "The request did not arrive whole within {:g} s."

_open: Counter[str] = Counter()


def is_limited(address: str) -> bool:
    """Whether the connections of an address are counted: not those of this machine and of trusted proxies, behind
    which there are many people.
    """
    if not address or is_trusted(address, tuple(settings.TRUSTED_PROXIES)):
        return False
    return not ipaddress.ip_address(address.partition("%")[0]).is_loopback


class _Counted:
    """One connection in the count of its address, until it is released."""

    def __init__(self, address: str) -> None:
        self._key = counted_as(address) if is_limited(address) else ""
        if self._key:
            _open[self._key] += 1

    @property
    def is_too_many(self) -> bool:
        return bool(self._key) and _open[self._key] > settings.CONNECTIONS_PER_ADDRESS

    def release(self) -> None:
        if self._key:
            _open[self._key] -= 1
            if not _open[self._key]:
                del _open[self._key]
            self._key = ""


class LimitedSocket(WebSocketsSansIOProtocol):
    """A websocket, which its connection has become and still counts as one."""

    counted: _Counted | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.counted is not None:
            self.counted.release()


class LimitedConnection(HttpToolsProtocol):
    """One HTTP connection. It is refused with 408, 414, 429 or 431 in the one error shape, and closed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ws_protocol_class = LimitedSocket
        self._counted: _Counted | None = None
        self._is_in_head = self._is_in_body = False
        self._is_refused = False  # what still comes is not read
        self._is_socket = False  # it has become a websocket
        self._head_bytes = 0
        self._loose_bytes = 0  # that came after the head without being part of the body
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._counted = _Counted(self.client[0] if self.client else "")
        if self._counted.is_too_many:
            limit = settings.CONNECTIONS_PER_ADDRESS
            self._refuse(429, f"An address has {limit} open connections at most; close some of them.")
            return
        self._expect_within(HEAD_TIMEOUT_S)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._expect_nothing()
        self._stop_waiting_for_reader()
        if self._counted is not None:
            self._counted.release()

    # What is read

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        was_in_head, was_in_body = self._is_in_head, self._is_in_body
        self._loose_bytes += len(data)
        super().data_received(data)
        if self._is_refused or self._is_socket or self.transport.is_closing():
            return
        if self._is_in_head:
            self._head_bytes = self._head_bytes + len(data) if was_in_head else len(data)
            self._judge_head(self._head_bytes)
        elif self._is_in_body and was_in_body and self._loose_bytes > HEAD_MAX_BYTES:
            self._refuse(431, f"What follows a body is larger than {HEAD_MAX_BYTES} bytes.")
        elif not self._is_in_body and self._reading is None and self._is_idle:
            self._expect_within(HEAD_TIMEOUT_S)  # of bytes that begin no request

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _judge_head(self, size: int) -> None:
        if len(self.url) > URL_MAX_BYTES:
            self._refuse(414, f"An address has {URL_MAX_BYTES} bytes at most, with its query.")
        elif len(self.headers) > HEADERS_MAX:
            self._refuse(431, f"A request has {HEADERS_MAX} headers at most.")
        elif size > HEAD_MAX_BYTES:
            self._refuse(431, f"A request's address and headers have {HEAD_MAX_BYTES} bytes at most.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head, self._head_bytes = True, 0
        self._expect_within(HEAD_TIMEOUT_S)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        if not self._is_refused:
            self._judge_head(len(self.url) + sum(len(name) + len(value) for name, value in self.headers))
        if self._is_refused:
            return
        self._is_in_body, self._loose_bytes = True, 0
        self._expect_within(BODY_TIMEOUT_S)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._loose_bytes = 0
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_in_body = False
        if self._is_refused:
            return
        self._expect_nothing()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        if self._is_refused:
            return
        self._expect_nothing()
        self._is_socket = True
        super().handle_websocket_upgrade()
        opened = self.transport.get_protocol()
        if isinstance(opened, LimitedSocket):
            opened.counted = self._counted

    # Time

    def _expect_within(self, seconds: float) -> None:
        self._expect_nothing()
        self._reading = self.loop.call_later(seconds, self._is_late, seconds)

    def _expect_nothing(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _is_late(self, seconds: float) -> None:
        self._reading = None
        if self.flow.read_paused:  # it is us who do not read
            self._expect_within(seconds)
        elif self._is_in_head or self._is_in_body:
            self._refuse(408, LATE.format(seconds))
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop_waiting_for_reader()
        self._writing = self.loop.call_later(WRITE_TIMEOUT_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_waiting_for_reader()

    def _stop_waiting_for_reader(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    # Refusals

    def _refuse(self, status: int, message: str) -> None:
        """Say why, unless an answer is on its way, and close."""
        self._is_refused = True
        self._expect_nothing()
        if self.transport.is_closing():
            return
        if self._is_in_body and (self._is_idle or self.pipeline):
            self.transport.close()  # this request is answered already, or it is not its turn to be
            return
        if not self._is_idle and (self.cycle.response_started or not self._is_in_body):
            self.cycle.keep_alive = False  # the answer that is on its way is the last
            return
        if not self._is_idle:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(_refusal(status, message))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._reading = self.loop.call_later(LINGER_S, self.transport.close)


def _refusal(status: int, message: str) -> bytes:
    identity, phrase = new_request_id(""), HTTPStatus(status)
    body = json.dumps(error_body(phrase.name.lower(), message, {}, identity)).encode()
    head = f"HTTP/1.1 {status} {phrase.phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return f"{head}connection: close\r\nx-request-id: {identity}\r\n\r\n".encode() + body
