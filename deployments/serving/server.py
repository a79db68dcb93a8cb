"""Answer frames on a unix socket with a scorer: one prediction at a time, any number of requests per connection."""

import asyncio
import functools
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from deployments.serving.answers import SERVER_ERROR, Answer, json_answer
from deployments.serving.frames import FrameError, encode_frame, read_frame

SOCKET_MODE = 0o600
FINISH_TIMEOUT_S = 30.0
STREAM_LIMIT_BYTES = 4 * 1024 * 1024


class Scores(Protocol):
    """What the server needs of a scorer."""

    def invocations(self, body: bytes, content_type: str) -> Answer: ...

    def infer(self, body: bytes, model_name: str) -> Answer: ...

    def metadata(self, model_name: str) -> Answer: ...


def _forget(waiting: "dict[Any, asyncio.Task[None]]", key: Any, _task: Any) -> None:
    waiting.pop(key, None)


class WorkerServer:
    """Serves one scorer until SIGTERM; then finishes what has begun."""

    def __init__(self, scorer: Scores, socket: Path) -> None:
        self._scorer = scorer
        self._socket = socket
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")
        self._open: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()

    async def serve(self, on_listening: "Any" = None) -> None:
        """Listen until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        self._socket.unlink(missing_ok=True)
        old_mask = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(self._connection, path=str(self._socket), limit=STREAM_LIMIT_BYTES)
        finally:
            os.umask(old_mask)
        os.chmod(self._socket, SOCKET_MODE)
        if on_listening:
            on_listening()
        await self._ended.wait()
        server.close()
        if self._open:
            await asyncio.wait(self._open, timeout=FINISH_TIMEOUT_S)
        self._socket.unlink(missing_ok=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting: dict[Any, asyncio.Task[None]] = {}
        try:
            while True:
                header, body = await read_frame(reader)
                if header.get("op") == "cancel":
                    task = waiting.get(header.get("target"))
                    if task:
                        task.cancel()
                    continue
                task = asyncio.create_task(self._answer(header, body, writer))
                key = header.get("id")
                waiting[key] = task
                self._open.add(task)
                task.add_done_callback(self._open.discard)
                task.add_done_callback(functools.partial(_forget, waiting, key))
        except (asyncio.IncompleteReadError, FrameError, ConnectionError):
            for task in list(waiting.values()):
                task.cancel()
        finally:
            writer.close()

    async def _answer(self, header: "dict[str, Any]", body: bytes, writer: asyncio.StreamWriter) -> None:
        if header.get("op") == "ping":
            answer = Answer(200, b"")
        else:
            # Work that is cancelled before its turn never starts: the executor drops a cancelled future.
            future = self._executor.submit(self._score, header, body)
            answer = await asyncio.wrap_future(future)
        writer.write(encode_frame(answer.header(header.get("id")), answer.body))
        await writer.drain()

    def _score(self, header: "dict[str, Any]", body: bytes) -> Answer:
        op = header.get("op")
        try:
            if op == "invocations":
                return self._scorer.invocations(body, str(header.get("content_type", "")))
            if op == "infer":
                return self._scorer.infer(body, str(header.get("model_name", "")))
            if op == "metadata":
                return self._scorer.metadata(str(header.get("model_name", "")))
        except Exception as error:
            return json_answer(500, {"error": f"the worker failed: {type(error).__name__}: {error}"}, SERVER_ERROR)
        return json_answer(501, {"error": f"the worker does not know the operation {op!r}"})
