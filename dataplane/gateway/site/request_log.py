"""The request log: a sampled share of requests with their data, redacted, in files, and sent on as CloudEvents when a
sink is given.

Serving never waits for it: an entry goes into a bounded queue, a task of its own takes it out, a thread writes. What
finds no room is counted.
"""

import asyncio
import base64
import contextlib
import json
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import structlog

from dataplane.gateway.site import cloudevents
from dataplane.gateway.site.log_entry import LogEntry, type_Place
from dataplane.gateway.site.redaction import redacted

log = structlog.get_logger(__name__)

ENTRIES_MAX = 2000
BYTES_MAX = 16 * 1024 * 1024
BODY_MAX_BYTES = 256 * 1024
FOLDER_MAX_BYTES = 256 * 1024 * 1024  # of one endpoint; the oldest file is deleted first
DRAIN_S = 0.2
DRAIN_AT_ONCE = 200
SINK_TIMEOUT_S = 5.0


@dataclass
class LogCounts:
    """What became of the entries of one endpoint."""

    written: int = 0
    exported: int = 0
    dropped: int = 0


class RequestLog:
    """The log of one gateway process. `sink` is the URL that CloudEvents are posted to, empty for none; `count` is
    given, in a thread, what was written.
    """

    def __init__(
        self, folder: Path, sink: str = "", count: Callable[[list[LogEntry]], None] = lambda entries: None
    ) -> None:
        self.counts: dict[type_Place, LogCounts] = {}
        self._folder = folder
        self._sink = sink
        self._entries: deque[LogEntry] = deque()
        self._bytes = 0
        self._is_failing = False
        self._count_values = count

    def _count(self, place: type_Place) -> LogCounts:
        return self.counts.setdefault(place, LogCounts())

    def offer(self, entry: LogEntry) -> None:
        """Take an entry, or count it as dropped when there is no room."""
        size = len(entry.request) + len(entry.answer)
        if len(self._entries) >= ENTRIES_MAX or self._bytes + size > BYTES_MAX or size > BODY_MAX_BYTES:
            self._count(entry.place).dropped += 1
            return
        self._entries.append(entry)
        self._bytes += size

    async def drain_forever(self, session: aiohttp.ClientSession) -> None:
        """Write what was taken, for ever."""
        while True:
            await asyncio.sleep(DRAIN_S)
            await self.drain(session)

    async def drain(self, session: aiohttp.ClientSession | None) -> None:
        """Write and send everything taken so far."""
        while self._entries:
            taken = [self._entries.popleft() for _ in range(min(DRAIN_AT_ONCE, len(self._entries)))]
            self._bytes -= sum(len(entry.request) + len(entry.answer) for entry in taken)
            rows = await asyncio.to_thread(self._write, taken)
            await asyncio.to_thread(self._count_values, taken)
            if self._sink and session is not None:
                await self._export(session, rows)

    def _write(self, entries: list[LogEntry]) -> list[tuple[LogEntry, dict[str, Any]]]:
        """Append the entries to the files of their endpoints; return them as they were written."""
        rows = [(entry, row_of(entry)) for entry in entries]
        lines: dict[Path, list[tuple[LogEntry, bytes]]] = {}
        for entry, row in rows:
            path = (
                self._folder
                / entry.environment
                / entry.endpoint
                / f"{datetime.fromtimestamp(entry.at, UTC):%Y%m%dT%H}.jsonl"
            )
            lines.setdefault(path, []).append((entry, json.dumps(row, separators=(",", ":")).encode() + b"\n"))
        for path, told in lines.items():
            counts = self._count(told[0][0].place)
            try:
                append(path, b"".join(line for _, line in told))
                counts.written += len(told)
                self._is_failing = False
            except OSError as error:
                counts.dropped += len(told)
                if not self._is_failing:
                    log.error("request_log.not_written", path=str(path), why=str(error))
                self._is_failing = True
        return rows

    async def _export(self, session: aiohttp.ClientSession, rows: list[tuple[LogEntry, dict[str, Any]]]) -> None:
        """Post each entry as a pair of CloudEvents.

        After the first failure the rest of this batch counts as dropped.
        """
        for place, (entry, row) in enumerate(rows):
            try:
                for headers, body in cloudevents.pair(entry, row):
                    timeout = aiohttp.ClientTimeout(total=SINK_TIMEOUT_S)
                    async with session.post(self._sink, data=body, headers=headers, timeout=timeout) as answer:
                        answer.raise_for_status()
                self._count(entry.place).exported += 1
            except (aiohttp.ClientError, TimeoutError) as error:
                log.warning("request_log.not_sent", why=str(error) or type(error).__name__)
                for lost, _ in rows[place:]:
                    self._count(lost.place).dropped += 1
                return


def row_of(entry: LogEntry) -> dict[str, Any]:
    """An entry as a line of the log; hidden columns are left out of request and answer."""
    fields = entry._asdict()
    del fields["hidden"]
    fields["at"] = datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="milliseconds")
    fields["latency_ms"] = round(entry.latency_ms, 3)
    request, answer = entry.request, entry.answer
    if entry.hidden:
        request = redacted(request, entry.content_type, entry.hidden)
        answer = redacted(answer, entry.answer_type, entry.hidden)
    fields["request"], fields["request_is_base64"] = _text(request)
    fields["answer"], fields["answer_is_base64"] = _text(answer)
    return fields


def _text(content: bytes) -> tuple[str, bool]:
    """Return (text, False), or (base64, True) for what is no text."""
    try:
        return content.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(content).decode(), True


def append(path: Path, content: bytes) -> None:
    """Append to a private file, making room first: the oldest files of the folder go. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        _make_room(path.parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        if os.fstat(descriptor).st_size + len(content) > FOLDER_MAX_BYTES:
            raise OSError(f"{path.name} has reached the bound of {FOLDER_MAX_BYTES} bytes")
        os.write(descriptor, content)
    finally:
        os.close(descriptor)


def _make_room(folder: Path) -> None:
    files = sorted(folder.glob("*.jsonl"))
    sizes = {file: file.stat().st_size for file in files}
    for file in files:
        if sum(sizes.values()) < FOLDER_MAX_BYTES:
            return
        with contextlib.suppress(OSError):
            file.unlink()
        del sizes[file]


def now() -> float:
    """The time that entries carry: Unix time in seconds."""
    return time.time()
