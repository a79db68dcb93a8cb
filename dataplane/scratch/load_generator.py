"""Ask a worker so many times a second, whether or not it has answered yet, as clients do."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dataplane.scratch.scratch_worker import ScratchWorker, exchange
from dataplane.wire import shapes
from dataplane.wire.frames import AnswerHeader, FrameError
from dataplane.wire.scratch import LoadFigures

CONNECTIONS = 32
LATE_S = 0.02  # a request that is sent that much after it was due was not offered in time
PROGRESS_EVERY_S = 1.0


@dataclass
class LoadGenerator:
    """One load. A request that finds no free connection waits for one, and its latency counts from when it was due."""

    socket: Path
    body: bytes
    rate: int
    seconds: int
    patience_s: float
    _latencies: list[float] = field(default_factory=list)
    _errors: int = 0
    _late: int = 0
    _first_error: str = ""

    async def run(self, worker: ScratchWorker, say: Callable[[str], None]) -> LoadFigures:
        """Put the load on. Raises what `worker.check` raises."""
        connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        for _ in range(min(CONNECTIONS, max(2, self.rate))):
            connections.put_nowait(await asyncio.open_unix_connection(str(self.socket)))
        planned, began = self.rate * self.seconds, time.monotonic()
        asked = set()
        told = began
        for number in range(planned):
            due = began + number / self.rate
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            self._late += time.monotonic() - due > LATE_S
            task = asyncio.create_task(self._one(connections, due))
            asked.add(task)
            task.add_done_callback(asked.discard)
            if time.monotonic() - told >= PROGRESS_EVERY_S:
                told = time.monotonic()
                worker.check()
                say(f"{len(self._latencies)} of {planned} requests answered, {self._errors} with an error")
        if asked:
            await asyncio.wait(asked, timeout=self.patience_s)
        unanswered = len(asked)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        while not connections.empty():
            connections.get_nowait()[1].close()
        return self._figures(planned, unanswered)

    async def _one(
        self, connections: "asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]", due: float
    ) -> None:
        reader, writer = await connections.get()
        try:
            header, body = await exchange(reader, writer, self.body)
        except (OSError, FrameError, asyncio.IncompleteReadError):
            self._note_error("the worker closed the connection")
            writer.close()
            try:
                reader, writer = await asyncio.open_unix_connection(str(self.socket))
            except OSError:
                return  # one connection less; when none is left, the rest goes unanswered
        except asyncio.CancelledError:
            writer.close()
            raise
        else:
            self._note(header, body, time.monotonic() - due)
        connections.put_nowait((reader, writer))

    def _note(self, header: AnswerHeader, body: bytes, latency_s: float) -> None:
        if header.status == 200:
            self._latencies.append(latency_s)
        else:
            self._note_error(f"{header.status}: {body[:300].decode(errors='replace')}")

    def _note_error(self, said: str) -> None:
        self._errors += 1
        self._first_error = self._first_error or shapes.cut(said)

    def _figures(self, planned: int, unanswered: int) -> LoadFigures:
        ordered = sorted(self._latencies)
        p50, p95, p99 = (round(1000 * quantile(ordered, share), 2) for share in (0.5, 0.95, 0.99))
        return LoadFigures(
            planned, len(ordered), self._errors, unanswered, self._late, p50, p95, p99, self._first_error
        )


def quantile(ordered: list[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed; 0 of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0
