"""Answer frames on a unix socket with a scorer: one prediction at a time, whole batches in one frame (docs/wire.md
section 6).

One thread serves one connection, from the read to the write: between a request and its answer there is no hand-over to
another thread.
"""

import contextlib
import logging
import os
import select
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from dataplane.wire import shapes
from dataplane.wire.frames import (
    BODY_MAX_BYTES,
    AnswerHeader,
    AnswerRow,
    FrameBuffer,
    FrameError,
    Hello,
    RequestHeader,
    encode_frame,
)
from dataplane.wire.worker_profile import WorkerProfile
from dataplane.worker.answers import SERVER_ERROR, Answer, json_answer

SOCKET_MODE = 0o600
FINISH_TIMEOUT_S = 30.0
READ_BYTES = 256 * 1024
BACKLOG = 64
STREAMS_MAX = 64
REPLAY_EVERY_S = 1.0
EVENT_STREAM = "text/event-stream"
CANCELLED = AnswerRow(0, 0)
TOO_LARGE = json_answer(500, {"error": f"the model's answer is larger than {BODY_MAX_BYTES >> 20} MiB"}, SERVER_ERROR)


class Scores(Protocol):
    """What the server needs of a scorer.

    `max_batch` is how many requests it takes at once; 1 when they must stay apart. `profile` says why. `replay` is
    called now and then while nothing is asked.
    """

    @property
    def max_batch(self) -> int: ...

    @property
    def profile(self) -> WorkerProfile: ...

    def replay(self) -> None: ...

    def score(self, header: RequestHeader, bodies: "list[bytes]") -> "list[Answer]": ...

    def stream(self, header: RequestHeader, body: bytes) -> "Iterator[bytes] | Answer": ...


class WorkerServer:
    """Serves one scorer until SIGTERM; then finishes what has arrived.

    With a `listener` that is a descriptor of a socket with a name already, which is somebody else's to remove.
    """

    def __init__(self, scorer: Scores, path: Path, listener: "int | None" = None) -> None:
        self._scorer = scorer
        self._path = path
        self._given = listener
        self._predicting = threading.Lock()
        self._connections: set[_Connection] = set()

    def serve(self, on_listening: "Callable[[], None] | None" = None) -> None:
        """Listen until SIGTERM or SIGINT; called on the main thread."""
        told, teller = socket.socketpair()
        teller.setblocking(False)
        # A signal may reach any thread, also one that a library made; the descriptor wakes this one all the same.
        signal.set_wakeup_fd(teller.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        listener = self.listen_in_background()
        if on_listening:
            on_listening()
        told.recv(1)
        listener.close()
        open_ones = list(self._connections)
        for connection in open_ones:
            connection.take_no_more()
        for connection in open_ones:
            connection.thread.join(FINISH_TIMEOUT_S)
        if self._given is None:
            self._path.unlink(missing_ok=True)

    def listen_in_background(self) -> socket.socket:
        """Answer on threads of its own; return the listening socket."""
        listener = self._listen()
        threading.Thread(target=self._accept, args=(listener,), daemon=True, name="accept").start()
        threading.Thread(target=self._replay, daemon=True, name="replay").start()
        return listener

    def _listen(self) -> socket.socket:
        if self._given is not None:
            given = socket.socket(fileno=self._given)
            given.listen(BACKLOG)
            return given
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old_mask = os.umask(0o177)
        try:
            listener.bind(str(self._path))
        finally:
            os.umask(old_mask)
        os.chmod(self._path, SOCKET_MODE)
        listener.listen(BACKLOG)
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            connection = _Connection(peer, self._answers, self._stream)
            self._connections.add(connection)
            connection.on_end = self._connections.discard
            connection.thread.start()

    def _replay(self) -> None:
        while True:
            time.sleep(REPLAY_EVERY_S)
            # Whoever asks comes first.
            if self._predicting.acquire(blocking=False):
                try:
                    self._scorer.replay()
                except Exception:  # who looks after the answers does not end for one of them
                    logging.getLogger(__name__).warning("a replay failed", exc_info=True)
                finally:
                    self._predicting.release()

    def _answers(self, header: RequestHeader, bodies: "list[bytes]") -> "list[Answer]":
        if header.op == "ping":
            return [Answer(200, shapes.write(self._scorer.profile))]
        if header.op == "hello":
            return [Answer(200, shapes.write(Hello(self._scorer.max_batch)))]
        with self._predicting:
            try:
                answers = self._scorer.score(header, bodies)
            except Exception as error:
                text = f"the worker failed: {type(error).__name__}: {error}"
                answers = [json_answer(500, {"error": text}, SERVER_ERROR)] * len(bodies)
        return answers if sum(len(answer.body) for answer in answers) <= BODY_MAX_BYTES else _with_room(answers)

    def _stream(self, header: RequestHeader, body: bytes) -> "Iterator[bytes] | Answer":
        """The parts of a streamed answer; each part is made under the lock, other requests are answered between
        them.
        """
        with self._predicting:
            parts = self._scorer.stream(header, body)
        return parts if isinstance(parts, Answer) else self._locked(parts)

    def _locked(self, parts: "Iterator[bytes]") -> "Iterator[bytes]":
        while True:
            with self._predicting:
                part = next(parts, None)
            if part is None:
                return
            yield part


class _Connection:
    """One client of the worker: reads frames, drops what was cancelled before its turn, answers in order."""

    def __init__(self, peer: socket.socket, answers: Any, stream: Any) -> None:
        self._peer = peer
        self._answers = answers
        self._parts_of = stream
        self._buffer = FrameBuffer(RequestHeader)
        self._waiting: deque[tuple[RequestHeader, bytes]] = deque()
        self._cancelled: set[tuple[Any, Any]] = set()
        self._sending = threading.Lock()
        self._streams = threading.Semaphore(STREAMS_MAX)
        self.on_end: Callable[[_Connection], None] = lambda _: None
        self.thread = threading.Thread(target=self._run, daemon=True, name="connection")

    def take_no_more(self) -> None:
        """Let the connection answer what has arrived, and end."""
        with contextlib.suppress(OSError):
            self._peer.shutdown(socket.SHUT_RD)

    def _run(self) -> None:
        try:
            while self._read(wait=not self._waiting):
                if self._waiting:
                    self._answer(*self._waiting.popleft())
            while self._waiting:
                self._answer(*self._waiting.popleft())
        except (OSError, FrameError):
            pass
        finally:
            self._peer.close()
            self.on_end(self)

    def _read(self, wait: bool) -> bool:
        """Take in what has arrived; return False at the end of the stream. Cancellations overtake what they cancel."""
        while wait or select.select([self._peer], [], [], 0)[0]:
            data = self._peer.recv(READ_BYTES)
            if not data:
                return False
            for header, body in self._buffer.feed(data):
                if header.op == "cancel":
                    self._cancelled.add((header.target, header.item))
                else:
                    self._waiting.append((header, body))
            wait = not self._waiting
        return True

    def _answer(self, header: RequestHeader, body: bytes) -> None:
        number, sizes = header.id, header.sizes
        if header.op == "stream" and self._streams.acquire(blocking=False):
            threading.Thread(target=self._stream, args=(header, body), daemon=True, name="stream").start()
            return
        bodies = [body] if sizes is None else _cut(body, sizes)
        wanted = [place for place in range(len(bodies)) if not self._is_cancelled(number, place)]
        began = time.perf_counter()
        answers = self._answers(header, [bodies[place] for place in wanted]) if wanted else []
        took_us = round((time.perf_counter() - began) * 1_000_000)
        self._cancelled = {entry for entry in self._cancelled if entry[0] != number} if self._cancelled else set()
        if sizes is None:
            if answers:
                self._send(answers[0].header(number), answers[0].body)
            return
        rows = [CANCELLED] * len(bodies)
        for place, answer in zip(wanted, answers, strict=True):
            rows[place] = answer.row()
        self._send(AnswerHeader(number, answers=rows, took_us=took_us), b"".join([answer.body for answer in answers]))

    def _is_cancelled(self, number: Any, place: int) -> bool:
        return bool(self._cancelled) and not self._cancelled.isdisjoint({(number, None), (number, place)})

    def _stream(self, header: RequestHeader, body: bytes) -> None:
        number = header.id
        try:
            parts = self._parts_of(header, body)
            if isinstance(parts, Answer):
                self._send(parts.header(number), parts.body)
                return
            for part in parts:
                if (number, None) in self._cancelled:
                    break  # with a last word, so that the gateway knows of the end
                if len(part) > BODY_MAX_BYTES:
                    part = b"event: error\ndata: " + TOO_LARGE.body + b"\n\n"
                self._send(AnswerHeader(number, content_type=EVENT_STREAM, more=True), part)
            self._send(AnswerHeader(number, content_type=EVENT_STREAM), b"")
        except OSError:
            pass
        finally:
            self._cancelled.discard((number, None))
            self._streams.release()

    def _send(self, header: AnswerHeader, body: bytes) -> None:
        frame = encode_frame(header, body)
        with self._sending:
            self._peer.sendall(frame)


def _with_room(answers: "list[Answer]") -> "list[Answer]":
    """The answers without those for which their frame has no room."""
    room, kept = BODY_MAX_BYTES - len(answers) * len(TOO_LARGE.body), []
    for answer in answers:
        has_room = len(answer.body) <= room
        room -= len(answer.body) if has_room else 0
        kept.append(answer if has_room else TOO_LARGE)
    return kept


def _cut(body: bytes, sizes: "list[int]") -> "list[bytes]":
    """The bodies of a batch. Raises FrameError when the sizes do not add up."""
    if not sizes or sum(sizes) != len(body) or min(sizes) < 0:
        raise FrameError("the sizes of the batch do not add up")
    bodies, begin = [], 0
    for size in sizes:
        bodies.append(body[begin : begin + size])
        begin += size
    return bodies
