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


OUTCOME_OF = {"client_error": "client_errors", "server_error": "server_errors"}


def outcome_of(answer: WorkerAnswer) -> str:
    """Return what an answer counts as: its status, unless the worker says otherwise."""
    if answer.status < 400 and answer.outcome is None:
        return "ok"
    told = OUTCOME_OF.get(answer.outcome or "")
    return told or ("client_errors" if answer.status < 500 else "server_errors")


type_Kind = tuple[tuple[str, Any], ...]


class Ticket:
    """One request on its way. `kind` are the header fields that requests of one batch share, `op` first; `since` and `deadline` are monotonic seconds.

    `on_end` is called exactly once, with the answer or with what went wrong.
    """

    __slots__ = ("_on_end", "body", "deadline", "is_ended", "kind", "open_ones", "sent_to", "since", "tries")

    def __init__(
        self,
        kind: type_Kind,
        body: bytes,
        since: float,
        deadline: float,
        on_end: "Callable[[WorkerAnswer | None, Exception | None], None]",
    ) -> None:
        self.kind = kind
        self.body = body
        self.since = since
        self.deadline = deadline
        self.is_ended = False
        self.sent_to: Any = None
        self.open_ones: dict[Ticket, None] = {}
        self.tries = 0
        self._on_end = on_end

    def answer(self, answer: WorkerAnswer) -> None:
        """End the wait with an answer, unless it is over."""
        if not self.is_ended:
            self.is_ended = True
            self.open_ones.pop(self, None)
            self._on_end(answer, None)

    def fail(self, error: Exception) -> None:
        """End the wait with an error, unless it is over."""
        if not self.is_ended:
            self.is_ended = True
            self.open_ones.pop(self, None)
            self._on_end(None, error)


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
            if not ticket.is_ended:
                ticket.answer(WorkerAnswer(row[0], row[2], body[begin:end], *row[3:]))
            begin = end

    def part(self, header: dict[str, Any], body: bytes) -> None:
        """Give the one ticket of a stream its first part as the answer, later ones through `parts`."""
        ticket, has_more = self.tickets[0], bool(header.get("more"))
        if self._parts is not None:
            self._parts.put_nowait(body if has_more else None)
            return
        parts: asyncio.Queue[bytes | None] | None = asyncio.Queue() if has_more else None
        self._parts = parts
        outcome, length = header.get("outcome"), header.get("header_length")
        ticket.answer(WorkerAnswer(header["status"], header["content_type"], body, outcome, length, parts))

    def fail(self, error: Exception) -> None:
        """End all waits; what was not begun may be sent again."""
        if isinstance(error, NotSent):
            self.on_unsent(self.tickets)
            return
        for ticket in self.tickets:
            ticket.fail(error)
        if self._parts is not None:
            self._parts.put_nowait(None)
