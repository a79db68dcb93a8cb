"""A request on its way to a worker, and the batch it travels in."""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple


class NotSent(Exception):
    """The request was not begun by any worker: another replica may be asked."""


class Lost(Exception):
    """The worker ended after it may have begun the request: nobody else may be asked."""


class TimedOut(Exception):
    """No worker answered in time."""


class ClientGone(Exception):
    """The client closed its connection before the answer."""


class Moved(Exception):
    """The arm was withdrawn before the request was sent: the routes of now decide again."""


class WorkerAnswer(NamedTuple):
    """A worker's answer as the gateway passes it on. `parts` brings the rest of a streamed one."""

    status: int
    content_type: str
    body: bytes
    outcome: str | None = None
    header_length: int | None = None
    parts: "asyncio.Queue[bytes | None] | None" = None


type_Kind = tuple[tuple[str, Any], ...]


class Ticket:
    """One request. `kind` are the header fields that requests of one batch share; `deadline` is monotonic time in seconds."""

    __slots__ = ("body", "deadline", "future", "kind", "on_wait", "sent_to", "since", "tries")

    def __init__(self, kind: type_Kind, body: bytes, since: float, deadline: float) -> None:
        self.kind = kind
        self.body = body
        self.since = since
        self.deadline = deadline
        self.future: asyncio.Future[WorkerAnswer] = asyncio.get_running_loop().create_future()
        self.sent_to: Any = None
        self.tries = 0
        self.on_wait: Callable[[], None] | None = None

    def fail(self, error: Exception) -> None:
        """End the wait with an error, unless it is over."""
        if not self.future.done():
            self.future.set_exception(error)


class Batch:
    """Requests of one kind in one frame."""

    __slots__ = ("_parts", "has_begun", "is_stream", "on_unsent", "tickets")

    def __init__(self, tickets: list[Ticket], on_unsent: Callable[[list[Ticket]], None]) -> None:
        self.tickets = tickets
        self.on_unsent = on_unsent
        self.is_stream = tickets[0].kind[0][1] == "stream"
        self.has_begun = False
        self._parts: asyncio.Queue[bytes | None] | None = None

    @property
    def header(self) -> dict[str, Any]:
        return {name: value for name, value in self.tickets[0].kind if value is not None}

    def answer(self, rows: list[list[Any]], body: bytes) -> None:
        """Give each ticket its own answer. Raises ValueError when the worker answered another number of requests."""
        begin = 0
        for ticket, row in zip(self.tickets, rows, strict=True):
            end = begin + row[1]
            future = ticket.future
            if not future.done():
                future.set_result(WorkerAnswer(row[0], row[2], body[begin:end], *row[3:]))
            begin = end

    def part(self, header: dict[str, Any], body: bytes) -> None:
        """Give the one ticket of a stream its first part as the answer, later ones through `parts`."""
        ticket, has_more = self.tickets[0], bool(header.get("more"))
        if self._parts is not None:
            self._parts.put_nowait(body if has_more else None)
            return
        parts: asyncio.Queue[bytes | None] | None = asyncio.Queue() if has_more else None
        self._parts = parts
        if not ticket.future.done():
            outcome, length = header.get("outcome"), header.get("header_length")
            ticket.future.set_result(
                WorkerAnswer(header["status"], header["content_type"], body, outcome, length, parts)
            )

    def fail(self, error: Exception) -> None:
        """End all waits; what was not begun may be sent again."""
        if isinstance(error, NotSent):
            self.on_unsent(self.tickets)
            return
        for ticket in self.tickets:
            ticket.fail(error)
        if self._parts is not None:
            self._parts.put_nowait(None)
