"""A gateway in this process, with workers that answer frames on real unix sockets."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from dataplane.gateway.config import GatewayConfig
from dataplane.gateway.core.compiled_table import CompiledTable, compile_table
from dataplane.gateway.http.app import App
from dataplane.gateway.state import State
from dataplane.wire import shapes
from dataplane.wire.frames import AnswerHeader, AnswerRow, Hello, RequestHeader, encode_frame, read_frame
from dataplane.wire.histogram import Latency
from dataplane.wire.route_table import RouteTable
from dataplane.wire.window_batch import Window
from tests.support.folders import short_folder

KEY = "mlk_test"
FOREIGN_KEY = "mlk_foreign"
OLD_KEY = "mlk_old"


@pytest.fixture
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The gateway's loop. asyncio's own drops what it accepts in the turn in which its server is closed."""
    return uvloop.EventLoopPolicy()


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def table(revision: int = 1, weight: int = 0, sockets: dict[str, str] | None = None, **endpoint: Any) -> dict[str, Any]:
    """A valid route table of production with the endpoint `e`: version 1 stable, version 2 candidate at `weight` %."""
    sockets = sockets or {"1": "/nowhere/1.sock", "2": "/nowhere/2.sock"}

    def arm(name: str, version: str, pct: int) -> dict[str, Any]:
        replica = {"id": f"r-{version}", "address": f"unix:{sockets[version]}"}
        return {"arm": name, "version": version, "weight_pct": pct, "release": f"rel-{version}", "replicas": [replica]}

    route = {
        "release": "rel-2",
        "salt": "salt",
        "timeout_ms": 60_000,
        "max_body_bytes": 1000,
        "max_in_flight": 4,
        **endpoint,
    }
    route["arms"] = [arm("candidate", "2", weight), arm("stable", "1", 100 - weight)]
    keys = [
        {"prefix": "mlk_te", "digest": digest(KEY), "endpoints": ["*"], "expires_at": None},
        {"prefix": "mlk_fo", "digest": digest(FOREIGN_KEY), "endpoints": ["other"], "expires_at": None},
        {"prefix": "mlk_ol", "digest": digest(OLD_KEY), "endpoints": ["*"], "expires_at": 1.0},
    ]
    return {"format": 1, "environment": "production", "revision": revision, "keys": keys, "endpoints": {"e": route}}


def window(start: int) -> Window:
    """A window without a request."""
    return Window("production", "e", "stable", "1", "rel-1", start=start, requests=0, latency=Latency())


def compiled(document: dict[str, Any]) -> CompiledTable:
    """The table of a document as requests use it. Raises Malformed."""
    return compile_table(shapes.convert(RouteTable, document))


type_Behaviour = Callable[[RequestHeader, bytes], Awaitable[dict[str, Any] | None]]


class FrameWorker:
    """Answers requests with what `behaviour` returns as header; None closes the connection without an answer.

    `seen` has the header of each request, `sizes` the number of requests of each frame.
    """

    def __init__(self, path: Path, behaviour: type_Behaviour, max_batch: int) -> None:
        self.path = path
        self.seen: list[RequestHeader] = []
        self.sizes: list[int] = []
        self.cancelled: list[RequestHeader] = []
        self._behaviour = behaviour
        self._max_batch = max_batch

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                header, body = await read_frame(reader, RequestHeader)
                if header.op == "cancel":
                    self.cancelled.append(header)
                    continue
                if header.op == "hello":
                    writer.write(encode_frame(AnswerHeader(header.id), shapes.write(Hello(self._max_batch))))
                    continue
                frame = await self._answer(header, body)
                if frame is None:
                    return
                writer.write(frame)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _answer(self, header: RequestHeader, body: bytes) -> bytes | None:
        rows: list[AnswerRow] = []
        bodies: list[bytes] = []
        sizes = header.sizes or []
        self.sizes.append(len(sizes))
        for size in sizes:
            part, body = body[:size], body[size:]
            self.seen.append(header)
            told = await self._behaviour(header, part)
            if told is None:
                return None
            bodies.append(json.dumps({"got": len(part)}).encode())
            content_type = told.get("content_type", "application/json")
            rows.append(AnswerRow(told["status"], len(bodies[-1]), content_type, told.get("outcome")))
        return encode_frame(AnswerHeader(header.id, answers=rows), b"".join(bodies))


async def fine(header: RequestHeader, body: bytes) -> dict[str, Any]:
    return {"status": 200, "content_type": "application/json"}


@pytest.fixture
def short_dir() -> Any:
    with short_folder() as folder:
        yield folder


@pytest.fixture
def state(short_dir: Path) -> State:
    return State(GatewayConfig("g1", "127.0.0.1", 0, "http://127.0.0.1:1", "token", short_dir))


@pytest.fixture
async def start_worker(short_dir: Path) -> AsyncIterator[Callable[..., Awaitable[FrameWorker]]]:
    servers = []

    async def start(version: str, behaviour: type_Behaviour = fine, max_batch: int = 1) -> FrameWorker:
        worker = FrameWorker(short_dir / f"{version}.sock", behaviour, max_batch)
        servers.append(await asyncio.start_unix_server(worker, path=str(worker.path)))
        return worker

    yield start
    for server in servers:
        server.close()


@pytest.fixture
async def failures() -> list[dict[str, Any]]:
    """What the loop had to report because nobody caught it."""
    found: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: found.append(context))
    return found


class Answer:
    """What the ASGI application sent."""

    def __init__(self, sent: list[dict[str, Any]]) -> None:
        self.status: int = sent[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        self.body = b"".join(message.get("body", b"") for message in sent[1:])

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def call(state: State, method: str, path: str, body: bytes = b"{}", key: str = KEY, **headers: str) -> Answer:
    """Send one request through the application, in two chunks, as a server would deliver it."""
    sent: list[dict[str, Any]] = []
    chunks = [body[: len(body) // 2], body[len(body) // 2 :]]
    messages = [{"type": "http.request", "body": c, "more_body": n == 0} for n, c in enumerate(chunks)]
    named = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    named |= {"authorization": f"Bearer {key}"} if key else {}
    raw = [(name.encode(), value.encode()) for name, value in named.items()]

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else await asyncio.Event().wait() or {}

    async def send(message: Any) -> None:
        sent.append(message)

    await App(state)({"type": "http", "method": method, "path": path, "headers": raw}, receive, send)
    return Answer(sent)
