"""The gateway's HTTP/1.1 connection: uvicorn's, with an express path for inference requests and an end to slow clients.

Most requests are small inference requests with a known length. They are answered from the parser's callbacks to the
one write of the answer without a task or an ASGI message in between (docs/adr/0006-express-requests.md). Everything
else is handed to the ASGI application of `app.py`; both share `paths`, `calls`, `core.access` and `core.inference`, so
they cannot differ in what they do.

What this relies on of uvicorn stands in `tests/dataplane/gateway/test_uvicorn.py`, which fails when uvicorn or this
file changes it.
"""

import array
import asyncio
import fcntl
import termios
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dataplane.gateway import errors
from dataplane.gateway.config import BODY_TIMEOUT_S, EXPRESS_MAX_BYTES, HEADER_MAX_BYTES, IDLE_LOOK_S, KEEP_ALIVE_S
from dataplane.gateway.core import admission, inference
from dataplane.gateway.core.inference import Inference, Outcome
from dataplane.gateway.core.pending_request import ClientGone
from dataplane.gateway.errors import Refusal
from dataplane.gateway.http.app import App
from dataplane.gateway.http.asgi import RUNNING
from dataplane.gateway.http.calls import EVENT_STREAM, call_of, request_id, type_Headers
from dataplane.gateway.http.paths import InferencePath, express_path
from dataplane.gateway.http.replies import JSON, HttpReply, refused, reply_to

REASONS = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    408: b"Request Timeout",
    413: b"Content Too Large",
    415: b"Unsupported Media Type",
    431: b"Request Header Fields Too Large",
    429: b"Too Many Requests",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}


class _NoEvent:
    """Stands where uvicorn expects the event of an ASGI request: nobody waits for an express one."""

    def set(self) -> None:
        return


class Exchange:
    """One express request. The names that uvicorn reads of its own cycles are part of its interface."""

    message_event = _NoEvent()

    def __init__(self, connection: "Connection", path: InferencePath, headers: type_Headers) -> None:
        self.connection = connection
        self.path = path
        self.headers = headers
        self.id = request_id(headers)
        self.body = b""
        self.response_complete = False
        self.disconnected = False
        self._inference: Inference | None = None

    def run(self) -> None:
        """Start the inference; a refusal is answered at once."""
        state, path, headers = self.connection.application.state, self.path, self.headers
        try:
            digest = admission.digest_of(headers.get(b"authorization", b""))
            route = admission.route_for(state.tables, path.environment, path.endpoint, digest)
            call = call_of(path, headers, self.body, self.id, route.max_body_bytes)
            self._inference = inference.start(state, route, call, self._end)
        except Refusal as refusal:
            self._end(None, refusal)

    def drop(self) -> None:
        """Drop what was started: the client has disconnected."""
        self.disconnected = True
        if self._inference is not None:
            self._inference.drop()

    def _end(self, outcome: Outcome | None, error: Exception | None) -> None:
        if self.disconnected or isinstance(error, ClientGone):
            return
        if outcome is not None:
            reply = reply_to(outcome)
        elif isinstance(error, Refusal):
            reply = refused(self.connection.application.state.metrics, error, is_oip=self.path.op == "infer")
        else:
            reply = HttpReply(500, JSON, b'{"error_code": "INTERNAL_ERROR", "message": "The gateway failed."}')
        self.response_complete = True
        self.connection.answer(self, reply)


def connections_of(application: App) -> Any:
    """What makes an application's connections, for uvicorn's configuration."""
    return partial(Connection, application)


class Connection(HttpToolsProtocol):
    """One client's connection."""

    cycle: Any  # uvicorn's own, or an Exchange

    def __init__(self, application: App, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.application = application
        self._exchange: Exchange | None = None
        self._running: set[Inference] = set()  # those of ASGI requests
        self._reading_since: float | None = None
        self._idle_since = 0.0
        self._is_in_head = False
        self._head_bytes = 0
        self._part_bytes = 0  # of what is being read now
        self._is_refused = False  # what still comes is not read
        self._look: asyncio.TimerHandle | None = None
        self._last: Any = None  # the request after whose answer a draining process closes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._reading_since = self._idle_since = self.loop.time()
        self._look = self.loop.call_later(IDLE_LOOK_S, self._look_at_clock)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._look is not None:
            self._look.cancel()
        if self._exchange is not None:
            self._exchange.drop()
        for started in tuple(self._running):
            started.drop()

    def _look_at_clock(self) -> None:
        """End the connection of a client that sends too slowly or nothing any more.

        One timer a connection, none a request.
        """
        now = self.loop.time()
        if self.transport.is_closing():
            return
        if self._reading_since is not None and now - self._reading_since > BODY_TIMEOUT_S:
            if self._is_in_head or self._exchange is not None:
                self._refuse(errors.too_slow(BODY_TIMEOUT_S))
            self.transport.close()
            return
        if self._reading_since is None:
            self.end_if_idle(now - KEEP_ALIVE_S)
        if self.transport.is_closing():
            return
        self._look = self.loop.call_later(IDLE_LOOK_S, self._look_at_clock)

    def shutdown(self) -> None:
        """Drain: what is asked is answered, and the last answer says that the connection is closed.

        An answer whose head is written already cannot say it any more. Its connection stays open for a next request,
        like an idle one.
        """
        is_asgi = self.cycle is not None and self.cycle is not self._exchange
        if is_asgi and not self.cycle.response_complete:
            self._close_after_last()

    def _close_after_last(self) -> None:
        """Let the newest ASGI request be the connection's last, not one before it that has not begun to answer."""
        before, self._last = self._last, self.cycle
        if before is not None and not before.response_started:
            before.keep_alive = True
        if not self.cycle.response_started:
            self.cycle.keep_alive = False

    def end_if_idle(self, since: float) -> None:
        """Close the connection when nothing was asked since `since` (loop time) and nothing lies unread in it."""
        is_idle = not self._is_in_head and (self.cycle is None or self.cycle.response_complete)
        if is_idle and self._idle_since <= since and not unread(self.transport.get_extra_info("socket")):
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._part_bytes = len(data)
        super().data_received(data)
        if not self._is_in_head:
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEADER_MAX_BYTES:
            self._refuse_head()

    def _refuse_head(self) -> None:
        self._is_refused, self._is_in_head = True, False
        if not self.transport.is_closing():
            self._refuse(errors.head_too_large(HEADER_MAX_BYTES))
            self.transport.close()

    def _is_head_too_large(self) -> bool:
        """Whether the head that has just ended is too large; it is added up only when it could be."""
        if self._head_bytes + self._part_bytes <= HEADER_MAX_BYTES:
            return False
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEADER_MAX_BYTES

    def on_message_begin(self) -> None:
        self._is_in_head = True
        self._head_bytes = 0
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._reading_since = self.loop.time()
        self._exchange = None if self._exchange is None or self._exchange.response_complete else self._exchange

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        if self._is_refused or self._is_head_too_large():
            self._refuse_head()
            return
        if self._exchange is None and (self.cycle is None or self.cycle.response_complete):
            headers = dict(self.headers)
            path = express_path(self.url) if self.parser.get_method() == b"POST" else None
            # A header that stands there twice is for the application to judge.
            if path is not None and len(headers) == len(self.headers) and self._is_plain(headers):
                self._exchange = Exchange(self, path, headers)
                self.cycle = self._exchange
                return
        self._hand_to_asgi()

    def _is_plain(self, headers: type_Headers) -> bool:
        """Whether the request has a known, small length and asks for nothing but an answer."""
        length = headers.get(b"content-length", b"")
        return (
            length.isdigit()
            and int(length) <= EXPRESS_MAX_BYTES
            and not self.expect_100_continue
            and EVENT_STREAM not in headers.get(b"accept", b"")
            and b"upgrade" not in headers
            and b"content-encoding" not in headers
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.flow.write_paused
        )

    def _hand_to_asgi(self) -> None:
        """Let uvicorn make an ASGI request of it."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        self.scope[RUNNING] = self._running  # type: ignore[literal-required]
        before = self.cycle
        super().on_headers_complete()
        # Of a request for a websocket uvicorn makes none.
        if self.application.is_draining and self.cycle is not before:
            self._close_after_last()

    def on_body(self, body: bytes) -> None:
        if self._is_refused:
            return
        exchange = self._exchange
        if exchange is None or self.cycle is not exchange:
            super().on_body(body)
        else:
            exchange.body = exchange.body + body if exchange.body else body

    def on_message_complete(self) -> None:
        self._reading_since = None
        if self._is_refused:
            return
        exchange = self._exchange
        if exchange is None or self.cycle is not exchange:
            super().on_message_complete()
        elif b'"stream"' in exchange.body:
            # It may ask for a streamed answer: the worker knows, and the application can pass it on.
            self._exchange = self.cycle = None
            self._hand_to_asgi()
            super().on_body(exchange.body)
            super().on_message_complete()
        else:
            exchange.run()

    def answer(self, exchange: Exchange, reply: HttpReply) -> None:
        """Write the answer of an express request in one piece."""
        if self.transport.is_closing():
            return
        # Who has begun to ask for more on a draining connection gets that answered too.
        keep_alive = not self.application.is_draining or self.cycle is not exchange or self._is_in_head
        self._write(reply, exchange.id, keep_alive)
        if not keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _refuse(self, refusal: Refusal) -> None:
        """Say why the connection is closed, before a request is whole."""
        self._write(refused(self.application.state.metrics, refusal, is_oip=False), b"", False)

    def _write(self, reply: HttpReply, request_id: bytes, keep_alive: bool) -> None:
        lines = [b"HTTP/1.1 %d %b\r\n" % (reply.status, REASONS.get(reply.status, b""))]
        lines += [b"%b: %b\r\n" % pair for pair in self.server_state.default_headers]
        lines.append(b"content-type: %b\r\nx-request-id: %b\r\n" % (reply.content_type, request_id))
        lines += [b"%b: %b\r\n" % pair for pair in reply.headers]
        if not keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"content-length: %d\r\n\r\n" % len(reply.body))
        lines.append(reply.body)
        self.transport.write(b"".join(lines))

    def on_response_complete(self) -> None:
        """Go on with the next request. Idle connections are found by the clock, not by a timer per request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._idle_since = self.loop.time()
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def _unset_keepalive_if_required(self) -> None:
        return


def unread(connection: Any) -> int:
    """How many bytes have arrived in a socket that nobody has read yet."""
    count = array.array("i", [0])
    fcntl.ioctl(connection.fileno(), termios.FIONREAD, count)
    return count[0]
