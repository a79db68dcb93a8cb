"""Connections to workers: one per replica, any number of requests at once."""

import asyncio
import contextlib
from typing import Any

from deployments.gateway.config import CONNECT_TIMEOUT_S
from deployments.serving.frames import FrameError, encode_frame, read_frame

STREAM_LIMIT_BYTES = 4 * 1024 * 1024


class NotSent(Exception):
    """The request never reached the worker: another replica may be asked."""


class Lost(Exception):
    """The worker ended after the request was written: nobody else may be asked."""


class TimedOut(Exception):
    """The worker did not answer in time; it was told to drop the request."""


class WorkerConnection:
    """A multiplexed connection to one worker, made when it is needed and again after it was lost."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._writer: asyncio.StreamWriter | None = None
        self._reader_task: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[tuple[dict[str, Any], bytes]]] = {}
        self._number = 0
        self._connecting = asyncio.Lock()

    async def ask(self, header: dict[str, Any], body: bytes, timeout_s: float) -> tuple[dict[str, Any], bytes]:
        """Return the worker's answer. Raises NotSent, Lost or TimedOut."""
        if self._writer is None or self._writer.is_closing():
            await self._connect()
        assert self._writer is not None
        self._number += 1
        number = self._number
        answer: asyncio.Future[tuple[dict[str, Any], bytes]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._writer.write(encode_frame({**header, "id": number}, body))
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            self._drop(number)
            raise TimedOut from None
        except asyncio.CancelledError:
            self._drop(number)
            raise
        finally:
            self._waiting.pop(number, None)

    def _drop(self, number: int) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(encode_frame({"op": "cancel", "target": number}))

    async def _connect(self) -> None:
        async with self._connecting:
            if self._writer is not None and not self._writer.is_closing():
                return
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    reader, self._writer = await asyncio.open_unix_connection(self._path, limit=STREAM_LIMIT_BYTES)
            except (OSError, TimeoutError) as error:
                raise NotSent(str(error)) from error
            self._reader_task = asyncio.create_task(self._read(reader, self._writer))

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                header, body = await read_frame(reader)
                future = self._waiting.pop(header.get("id", -1), None)
                if future is not None and not future.done():
                    future.set_result((header, body))
        except (asyncio.IncompleteReadError, FrameError, OSError):
            pass
        finally:
            writer.close()
            waiting, self._waiting = self._waiting, {}
            for future in waiting.values():
                if not future.done():
                    future.set_exception(Lost())

    async def close(self) -> None:
        """Close the connection; what still waits is lost."""
        if self._reader_task:
            self._reader_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader_task


class Workers:
    """All connections by socket path, and the open requests by replica id."""

    def __init__(self) -> None:
        self._connections: dict[str, WorkerConnection] = {}
        self.in_flight: dict[str, int] = {}

    async def ask(
        self, replica: str, path: str, header: dict[str, Any], body: bytes, timeout_s: float
    ) -> tuple[dict[str, Any], bytes]:
        """Ask one replica; counts it as busy meanwhile."""
        connection = self._connections.get(path)
        if connection is None:
            connection = self._connections[path] = WorkerConnection(path)
        self.in_flight[replica] = self.in_flight.get(replica, 0) + 1
        try:
            return await connection.ask(header, body, timeout_s)
        finally:
            self.in_flight[replica] -= 1
            if not self.in_flight[replica]:
                del self.in_flight[replica]

    async def keep_only(self, paths: set[str]) -> None:
        """Close the connections to replicas that no table names and nobody waits for."""
        for path in [path for path in self._connections if path not in paths]:
            if not self._connections[path]._waiting:
                await self._connections.pop(path).close()

    async def close(self) -> None:
        """Close everything."""
        await self.keep_only(set())
        for connection in self._connections.values():
            await connection.close()
