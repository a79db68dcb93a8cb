"""The connection to one worker: frames out, answers back to those who wait (docs/wire.md section 6)."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

from dataplane.gateway.config import CONNECT_TIMEOUT_S, EJECT_FIRST_S, EJECT_MAX_S, HELLO_TIMEOUT_S
from dataplane.gateway.core.pending import Batch, Lost, NotSent, Ticket
from dataplane.wire.frames import FrameBuffer, FrameError, encode_frame

HELLO = 0


class _Wire(asyncio.Protocol):
    """One open connection; hands whole frames on and tells when it is over."""

    def __init__(self, on_frame: Callable[[dict[str, Any], bytes], None], on_end: "Callable[[_Wire], None]") -> None:
        self._buffer = FrameBuffer()
        self._on_frame = on_frame
        self._on_end = on_end
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)  # uvloop's is none by class, only by what it does

    def data_received(self, data: bytes) -> None:
        try:
            for header, body in self._buffer.feed(data):
                self._on_frame(header, body)
        except (FrameError, KeyError, TypeError, ValueError, IndexError):
            assert self.transport is not None
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_end(self)


class Replica:
    """One worker as the gateway sees it. `changed` is called when it can take more, or lost what it had.

    `outstanding` counts batches sent and not answered; `in_flight` the requests in them. `failed` is called with its id whenever it is ejected.
    """

    def __init__(
        self, replica_id: str, path: str, changed: "Callable[[Replica], None]", failed: Callable[[str], None]
    ) -> None:
        self.id = replica_id
        self.path = path
        self.max_batch = 1
        self.outstanding = 0
        self.in_flight = 0
        self.ejected_until = 0.0
        self.is_retired = False
        self._failures = 0
        self._tell_failed = failed
        self._changed = changed
        self._wire: _Wire | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._batches: dict[int, Batch] = {}
        self._hello: asyncio.Future[int] | None = None
        self._number = HELLO

    @property
    def is_connected(self) -> bool:
        return self._wire is not None and self._connecting is None

    @property
    def is_connecting(self) -> bool:
        return self._connecting is not None

    def is_ejected(self, now: float) -> bool:
        """Return whether it failed lately and is to be left alone (`now` in Unix seconds)."""
        return now < self.ejected_until

    def connect(self) -> None:
        """Begin to connect; `changed` tells the end of it."""
        if self._connecting is None and self._wire is None:
            self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, wire = await loop.create_unix_connection(lambda: _Wire(self._on_frame, self._on_end), self.path)
            self._wire = wire
            self._hello = loop.create_future()
            self._write(encode_frame({"id": HELLO, "op": "hello"}))
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                self.max_batch = await self._hello
        except (OSError, TimeoutError, Lost):
            self._failed()
            if self._wire is not None and self._wire.transport is not None:
                self._wire.transport.abort()
            self._wire = None
        finally:
            self._connecting = None
            self._hello = None
        self._changed(self)

    def _failed(self) -> None:
        self._failures += 1
        self.ejected_until = time.time() + min(EJECT_MAX_S, EJECT_FIRST_S * 2 ** (self._failures - 1))
        self._tell_failed(self.id)

    def send(self, batch: Batch) -> None:
        """Send a batch to the connected worker."""
        self._number += 1
        self._batches[self._number] = batch
        self.outstanding += 1
        self.in_flight += len(batch.tickets)
        for place, ticket in enumerate(batch.tickets):
            ticket.sent_to = (self, self._number, place)
        header = {"id": self._number, **batch.header}
        if batch.is_stream:
            self._write(encode_frame(header, batch.tickets[0].body))
            return
        bodies = [ticket.body for ticket in batch.tickets]
        header["sizes"] = [len(body) for body in bodies]
        self._write(encode_frame(header, bodies[0] if len(bodies) == 1 else b"".join(bodies)))

    def cancel(self, number: int, place: int) -> None:
        """Tell the worker that nobody waits for one request of a batch any more."""
        batch = self._batches.get(number)
        if batch is None or self._wire is None:
            return
        item = {} if batch.is_stream else {"item": place}
        self._write(encode_frame({"op": "cancel", "target": number, **item}))

    def _write(self, frame: bytes) -> None:
        assert self._wire is not None
        assert self._wire.transport is not None
        self._wire.transport.write(frame)

    def _on_frame(self, header: dict[str, Any], body: bytes) -> None:
        number = header["id"]
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
        self._done(number, batch)
        batch.answer(header["answers"], body)
        self._changed(self)

    def _on_part(self, number: int, batch: Batch, header: dict[str, Any], body: bytes) -> None:
        """Hand on a part of a streamed answer. From its first part on the stream does not keep other batches waiting."""
        if not batch.has_begun:
            batch.has_begun = True
            self.outstanding -= 1
            self._changed(self)
        if not header.get("more"):
            self.in_flight -= 1
            del self._batches[number]
        batch.part(header, body)

    def _done(self, number: int, batch: Batch) -> None:
        del self._batches[number]
        self.outstanding -= 1
        self.in_flight -= len(batch.tickets)
        self._failures = 0
        self.ejected_until = 0.0

    def _on_end(self, wire: _Wire) -> None:
        if self._hello is not None and not self._hello.done():
            self._hello.set_exception(Lost())
        if wire is not self._wire or self._connecting is not None:
            return
        self._wire = None
        batches, self._batches = list(self._batches.values()), {}
        self.outstanding = self.in_flight = 0
        if batches:
            self._failed()
        # The worker answers in order, streams beside the others: of those only the first can have been begun.
        first = next((batch for batch in batches if not batch.is_stream), None)
        for batch in batches:
            batch.fail(Lost() if batch is first or batch.is_stream else NotSent())
        self._changed(self)

    def close(self) -> None:
        """Close the connection; what still waits is lost."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._wire is not None and self._wire.transport is not None:
            self._wire.transport.close()


def _max_batch(body: bytes) -> int:
    """Return how many requests the worker takes at once, 1 when it does not say."""
    import orjson

    try:
        told = orjson.loads(body)["max_batch"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return 1
    return told if type(told) is int and told > 0 else 1


def least_busy(replicas: list[Replica]) -> Replica:
    """Return the replica with the fewest open requests, the first among equals."""
    return min(replicas, key=lambda replica: (replica.outstanding, replica.in_flight))


def expire(ticket: Ticket) -> None:
    """Tell the worker, if one has the ticket, that its answer comes too late."""
    if ticket.sent_to is not None:
        replica, number, place = ticket.sent_to
        replica.cancel(number, place)
