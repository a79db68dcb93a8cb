"""A request on its way to a worker, and the batch it travels in."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

from dataplane.wire.frames import AnswerHeader, AnswerRow, FrameError, RequestHeader


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


STREAM_WAITING_MAX_BYTES = 16 * 1024 * 1024  # of a stream that comes quicker than its client takes it
CUT = b'event: error\ndata: {"error_code": "STREAM_CUT", "message": "the stream came quicker than it was taken"}\n\n'


class StreamParts(asyncio.Queue[bytes | None]):
    """Parts that wait for their client, and how many bytes they are. A stream is endless when its model wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting_bytes = 0

    def _put(self, item: bytes | None) -> None:
        super()._put(item)
        self.waiting_bytes += len(item or b"")

    def _get(self) -> bytes | None:
        item: bytes | None = super()._get()
        self.waiting_bytes -= len(item or b"")
        return item


OUTCOME_OF = {"client_error": "client_errors", "server_error": "server_errors"}


def outcome_of(answer: WorkerAnswer) -> str:
    """What an answer counts as: its status, unless the worker says otherwise."""
    if answer.status < 400 and answer.outcome is None:
        return "ok"
    named = OUTCOME_OF.get(answer.outcome or "")
    return named or ("client_errors" if answer.status < 500 else "server_errors")


class Carrier(Protocol):
    """What a batch is sent over."""

    def cancel(self, number: int, place: int) -> None:
        """Tell the worker that nobody waits for one request of a batch any more."""


class PendingRequest:
    """One request on its way. `kind` is the header that requests of one batch share.

    `since` and `deadline` are monotonic seconds. `on_end` is called exactly once, with the answer or with what went
    wrong. `batch` is the one it was sent in last.
    """

    __slots__ = ("_on_end", "batch", "body", "deadline", "is_ended", "kind", "open_in", "sent_to", "since", "tries")

    def __init__(
        self,
        kind: RequestHeader,
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
        self.batch: RequestBatch | None = None
        self.sent_to: tuple[Carrier, int, int] | None = None  # with number of the batch and place in it
        self.open_in = IN_NO_LANE
        self.tries = 0
        self._on_end = on_end

    def answer(self, answer: WorkerAnswer) -> None:
        """End the wait with an answer, unless it is over."""
        if not self.is_ended:
            self.is_ended = True
            self.open_in.pop(self, None)
            self._on_end(answer, None)

    def fail(self, error: Exception) -> None:
        """End the wait with an error, unless it is over."""
        if not self.is_ended:
            self.is_ended = True
            self.open_in.pop(self, None)
            self._on_end(None, error)

    def cancel(self) -> None:
        """Tell the worker, if one has the request, that its answer comes too late."""
        if self.sent_to is not None:
            carrier, number, place = self.sent_to
            carrier.cancel(number, place)


IN_NO_LANE: dict[PendingRequest, None] = {}  # stays empty: a lane puts its own in the place of it


class RequestBatch:
    """Requests of one kind in one frame.

    `sent_at` is in monotonic seconds, `took_us` what the worker says that it was busy with them, None while unknown.
    """

    __slots__ = (
        *("_after_cut", "_is_cut", "_parts", "has_begun", "is_stream", "on_unsent", "replica", "requests"),
        *("sent_at", "took_us"),
    )

    def __init__(self, requests: list[PendingRequest], on_unsent: Callable[[list[PendingRequest]], None]) -> None:
        self.requests = requests
        self.on_unsent = on_unsent
        self.is_stream = requests[0].kind.op == "stream"
        self.has_begun = False
        self.replica = ""
        self.sent_at = 0.0
        self.took_us: int | None = None
        self._parts: StreamParts | None = None
        self._is_cut = False
        self._after_cut = 0

    def answer(self, rows: list[AnswerRow], body: bytes) -> None:
        """Give each request its own answer. Raises ValueError when the worker answered another number of requests."""
        begin = 0
        for request, row in zip(self.requests, rows, strict=True):
            end = begin + row.size
            if not request.is_ended:
                part = body[begin:end]
                request.answer(WorkerAnswer(row.status, row.content_type, part, row.outcome, row.header_length))
            begin = end

    def part(self, header: AnswerHeader, body: bytes) -> None:
        """Give the one request of a stream its first part as the answer, later ones through `parts`."""
        if self._parts is not None:
            self._later_part(self._parts, body if header.more else None)
            return
        parts = StreamParts() if header.more else None
        self._parts = parts
        outcome, length = header.outcome, header.header_length
        self.requests[0].answer(WorkerAnswer(header.status, header.content_type, body, outcome, length, parts))

    def _later_part(self, parts: StreamParts, part: bytes | None) -> None:
        """Let a part wait for the client; when too much waits the stream ends here, whatever the worker still sends."""
        if self._is_cut:
            self._after_cut += len(part or b"")
            if self._after_cut > STREAM_WAITING_MAX_BYTES:
                raise FrameError("the worker goes on with a stream that was cut")
            return
        if parts.waiting_bytes + len(part or b"") <= STREAM_WAITING_MAX_BYTES:
            parts.put_nowait(part)
            return
        self._is_cut = True
        self.requests[0].cancel()
        for last in (CUT, None):
            parts.put_nowait(last)

    def fail(self, error: Exception) -> None:
        """End all waits; what was not begun may be sent again."""
        if isinstance(error, NotSent):
            self.on_unsent(self.requests)
            return
        for request in self.requests:
            request.fail(error)
        if self._parts is not None:
            self._parts.put_nowait(None)
