"""The connection to one worker: frames out, answers back to those who wait (docs/wire.md section 6)."""

import asyncio
import time
from collections.abc import Callable
from typing import cast

import msgspec

from dataplane.gateway.config import CONNECT_TIMEOUT_S, EJECT_FIRST_S, EJECT_MAX_S, HELLO_TIMEOUT_S
from dataplane.gateway.core.pending_request import Lost, NotSent, RequestBatch
from dataplane.wire import shapes
from dataplane.wire.frames import AnswerHeader, FrameBuffer, FrameError, Hello, RequestHeader, encode_frame
from dataplane.wire.shapes import Malformed

HELLO = 0


class _FrameSocket(asyncio.Protocol):
    """One open socket; hands whole frames on and says when it is over."""

    def __init__(
        self, on_frame: Callable[[AnswerHeader, bytes], None], on_end: "Callable[[_FrameSocket], None]"
    ) -> None:
        self._buffer = FrameBuffer(AnswerHeader)
        self._on_frame = on_frame
        self._on_end = on_end
        self._transport: asyncio.WriteTransport | None = None  # until the loop has made the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is none by class, only by what it does

    def data_received(self, data: bytes) -> None:
        try:
            for header, body in self._buffer.feed(data):
                self._on_frame(header, body)
        except (FrameError, ValueError):
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_end(self)

    def write(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frame)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close once everything is written."""
        if self._transport is not None:
            self._transport.close()


class WorkerConnection:
    """One worker as the gateway sees it. `changed` is called when it can take more, or lost what it had.

    `outstanding` counts batches sent and not answered; `in_flight` the requests in them. `ejected` is called with the
    replica's id whenever it is ejected.
    """

    def __init__(
        self,
        replica_id: str,
        path: str,
        changed: "Callable[[WorkerConnection], None]",
        ejected: Callable[[str], None],
    ) -> None:
        self.id = replica_id
        self.path = path
        self.max_batch = 1
        self.outstanding = 0
        self.in_flight = 0
        self.ejected_until = 0.0
        self.is_retired = False
        self._failures = 0
        self._on_ejected = ejected
        self._changed = changed
        self._socket: _FrameSocket | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._batches: dict[int, RequestBatch] = {}
        self._hello: asyncio.Future[int] | None = None
        self._number = HELLO

    @property
    def is_connected(self) -> bool:
        return self._socket is not None and self._connecting is None

    @property
    def is_connecting(self) -> bool:
        return self._connecting is not None

    def is_ejected(self, now: float) -> bool:
        """Whether it failed lately and is to be left alone (`now` in Unix seconds)."""
        return now < self.ejected_until

    def connect(self) -> None:
        """Begin to connect; `changed` tells the end of it."""
        if self._connecting is None and self._socket is None:
            self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, socket = await loop.create_unix_connection(
                    lambda: _FrameSocket(self._on_frame, self._on_end), self.path
                )
            self._socket = socket
            self._hello = loop.create_future()
            socket.write(encode_frame(RequestHeader("hello", HELLO)))
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                self.max_batch = await self._hello
        except (OSError, TimeoutError, Lost):
            self._eject()
            if self._socket is not None:
                self._socket.abort()
            self._socket = None
        finally:
            self._connecting = None
            self._hello = None
        self._changed(self)

    def _eject(self) -> None:
        self._failures += 1
        self.ejected_until = time.time() + min(EJECT_MAX_S, EJECT_FIRST_S * 2 ** (self._failures - 1))
        self._on_ejected(self.id)

    def send(self, batch: RequestBatch) -> None:
        """Send a batch to the worker; without a connection it counts as not sent."""
        socket = self._socket
        if socket is None:
            batch.fail(NotSent())
            return
        self._number += 1
        self._batches[self._number] = batch
        self.outstanding += 1
        self.in_flight += len(batch.requests)
        batch.replica, batch.sent_at = self.id, time.perf_counter()
        for place, request in enumerate(batch.requests):
            request.sent_to, request.batch = (self, self._number, place), batch
        kind, bodies = batch.requests[0].kind, [request.body for request in batch.requests]
        sizes = None if batch.is_stream else [len(body) for body in bodies]
        header = msgspec.structs.replace(kind, id=self._number, sizes=sizes)
        socket.write(encode_frame(header, bodies[0] if len(bodies) == 1 else b"".join(bodies)))

    def cancel(self, number: int, place: int) -> None:
        """Tell the worker that nobody waits for one request of a batch any more."""
        batch = self._batches.get(number)
        if batch is None or self._socket is None:
            return
        item = None if batch.is_stream else place
        self._socket.write(encode_frame(RequestHeader("cancel", target=number, item=item)))

    def _on_frame(self, header: AnswerHeader, body: bytes) -> None:
        number = header.id
        if number == HELLO:
            if self._hello is not None and not self._hello.done():
                self._hello.set_result(_max_batch(body))
            return
        batch = self._batches.get(number)
        if batch is None:
            return
        if batch.is_stream:
            self._on_part(number, batch, header, body)
            return
        if header.answers is None or len(header.answers) != len(batch.requests):
            raise FrameError("the answer to a batch has not one answer for each request")
        self._done(number, batch)
        batch.took_us = header.took_us
        batch.answer(header.answers, body)
        self._changed(self)

    def _on_part(self, number: int, batch: RequestBatch, header: AnswerHeader, body: bytes) -> None:
        """Hand on a part of a streamed answer.

        From its first part on the stream does not keep other batches waiting.
        """
        if not batch.has_begun:
            batch.has_begun = True
            self.outstanding -= 1
            self._changed(self)
        if not header.more:
            self.in_flight -= 1
            del self._batches[number]
        batch.part(header, body)

    def _done(self, number: int, batch: RequestBatch) -> None:
        del self._batches[number]
        self.outstanding -= 1
        self.in_flight -= len(batch.requests)
        self._failures = 0
        self.ejected_until = 0.0

    def _on_end(self, socket: _FrameSocket) -> None:
        if self._hello is not None and not self._hello.done():
            self._hello.set_exception(Lost())
        if socket is not self._socket or self._connecting is not None:
            return
        self._socket = None
        batches, self._batches = list(self._batches.values()), {}
        self.outstanding = self.in_flight = 0
        if batches:
            self._eject()
        # The worker answers in order, streams apart: of the others only the first can have been begun.
        first = next((batch for batch in batches if not batch.is_stream), None)
        for batch in batches:
            batch.fail(Lost() if batch is first or batch.is_stream else NotSent())
        self._changed(self)

    def close(self) -> None:
        """Close the connection; what still waits is lost."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._socket is not None:
            self._socket.close()


def _max_batch(body: bytes) -> int:
    """How many requests the worker takes at once, 1 when it does not say."""
    try:
        return shapes.read(Hello, body).max_batch
    except Malformed:
        return 1


def least_busy(connections: list[WorkerConnection]) -> WorkerConnection:
    """The connection with the fewest open requests, the first among equals."""
    return min(connections, key=lambda connection: (connection.outstanding, connection.in_flight))
