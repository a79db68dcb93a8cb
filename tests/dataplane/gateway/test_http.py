"""The HTTP connection: express path and ASGI look the same to a client, slow or vanished clients cost nothing."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
import uvicorn

from dataplane.gateway.http import connection
from dataplane.gateway.http.app import App
from dataplane.gateway.state import State
from dataplane.wire.frames import RequestHeader
from tests.dataplane.gateway.conftest import KEY, FrameWorker, fine, table
from tests.support.waiting import auntil, patience

PATH = "/production/endpoints/e/invocations"
PIECES_APART_S = 0.001
type_Start = Callable[..., Awaitable[FrameWorker]]


def request(
    path: str = PATH, body: bytes = b"{}", method: str = "POST", length: int | None = None, **headers: str
) -> bytes:
    """One request as bytes."""
    named = {"host": "x", "authorization": f"Bearer {KEY}", "content-type": "application/json", **headers}
    if "transfer-encoding" not in named:
        named["content-length"] = str(len(body) if length is None else length)
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(path: str = PATH, **headers: str) -> bytes:
    """A request that the express path does not take."""
    return request(path, b"2\r\n{}\r\n0\r\n\r\n", **{"transfer-encoding": "chunked", **headers})


class Client:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read one answer."""
        async with asyncio.timeout(patience()):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            body = await self.reader.readexactly(int(headers["content-length"]))
        return int(head[0].split()[1]), headers, body

    async def ask(self, raw: bytes) -> tuple[int, dict[str, str], bytes]:
        self.writer.write(raw)
        return await self.answer()

    async def is_closed(self) -> bool:
        async with asyncio.timeout(patience()):
            return await self.reader.read() == b""


type_Connect = Callable[[], Awaitable[Client]]


@pytest.fixture
async def server(state: State) -> AsyncIterator[uvicorn.Server]:
    application = App(state)
    protocol = connection.connections_of(application)
    config = uvicorn.Config(
        application, http=protocol, port=0, log_level="critical", lifespan="off", server_header=False
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    yield server
    state.close()
    server.should_exit = True
    await server.shutdown()


@pytest.fixture
async def connect(server: uvicorn.Server) -> AsyncIterator[type_Connect]:
    port = server.servers[0].sockets[0].getsockname()[1]
    clients: list[Client] = []

    async def make() -> Client:
        clients.append(Client(*await asyncio.open_connection("127.0.0.1", port)))
        return clients[-1]

    yield make
    for client in clients:
        client.writer.close()


async def serve(state: State, start: type_Start, behaviour: Any = fine, **endpoint: Any) -> FrameWorker:
    worker = await start("1", behaviour, max_batch=8)
    document = table(sockets={"1": str(worker.path), "2": "/nowhere/2.sock"}, **endpoint)
    document["endpoints"]["e"]["arms"] = document["endpoints"]["e"]["arms"][1:]
    state.apply(document)
    return worker


async def test_express_and_asgi__same_request__same_answer(
    state: State, start_worker: type_Start, connect: type_Connect
) -> None:
    await serve(state, start_worker)
    client = await connect()
    express = await client.ask(request(**{"x-request-id": "my-request"}))
    asgi = await client.ask(chunked(**{"x-request-id": "my-request"}))

    assert (express[0], asgi[0]) == (200, 200)
    assert express[1].keys() == asgi[1].keys()
    assert {name: express[1][name] for name in express[1] if name != "date"} == {
        name: asgi[1][name] for name in asgi[1] if name != "date"
    }
    assert express[2] == asgi[2] == b'{"got": 2}'


async def test_pipelined_requests__answered_in_order(
    state: State, start_worker: type_Start, connect: type_Connect
) -> None:
    await serve(state, start_worker)
    client = await connect()
    client.writer.write(request(body=b"1") + request(body=b"22") + request("/healthz", b"", "GET") + request(body=b"3"))
    answers = [await client.answer() for _ in range(4)]

    assert [json.loads(body).get("got") for _, _, body in answers] == [1, 2, None, 1]
    assert {status for status, _, _ in answers} == {200}


async def test_body_in_many_pieces__is_whole_for_the_worker(
    state: State, start_worker: type_Start, connect: type_Connect
) -> None:
    await serve(state, start_worker)
    client = await connect()
    raw = request(body=b"x" * 500)
    for begin in range(0, len(raw), 90):
        client.writer.write(raw[begin : begin + 90])
        await asyncio.sleep(PIECES_APART_S)

    assert (await client.answer())[2] == b'{"got": 500}'


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (request(authorization="Bearer wrong"), 401),
        (request(body=b"x" * 1001), 413),
        (request(path="/production/endpoints/none/invocations"), 404),
        (request(path="/production/v2/models/e/infer", **{"inference-header-content-length": "many"}), 400),
        (request(path="/production/v2/models/e/versions/9/infer"), 404),
        (request(method="GET", body=b""), 405),
        (request(path="/" + "x" * 3000), 404),
    ],
)
async def test_refusals__connection_stays_open(
    state: State, start_worker: type_Start, connect: type_Connect, raw: bytes, status: int
) -> None:
    worker = await serve(state, start_worker)
    client = await connect()

    assert (await client.ask(raw))[0] == status
    assert worker.seen == []
    assert (await client.ask(request()))[0] == 200


async def test_not_http__400_and_closed(connect: type_Connect) -> None:
    client = await connect()
    client.writer.write(b"this is no request\r\n\r\n")

    assert (await client.answer())[0] == 400
    assert await client.is_closed()


async def test_expect_continue__is_told_to_send(state: State, start_worker: type_Start, connect: type_Connect) -> None:
    await serve(state, start_worker)
    client = await connect()
    head, _, body = request(expect="100-continue").partition(b"\r\n\r\n")
    client.writer.write(head + b"\r\n\r\n")
    told = await client.reader.readuntil(b"\r\n\r\n")
    client.writer.write(body)

    assert told.startswith(b"HTTP/1.1 100")
    assert (await client.answer())[0] == 200


@pytest.mark.parametrize("sent", [b"POST " + PATH.encode() + b" HT", request(body=b"{", length=100)])
async def test_slow_client__408_and_closed(
    state: State, start_worker: type_Start, connect: type_Connect, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connection, "BODY_TIMEOUT_S", 0.05)
    monkeypatch.setattr(connection, "IDLE_LOOK_S", 0.02)
    await serve(state, start_worker)
    client = await connect()
    client.writer.write(sent)

    assert (await client.answer())[0] == 408
    assert await client.is_closed()


async def test_idle_connection__closed_after_its_time(
    state: State, start_worker: type_Start, connect: type_Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "IDLE_LOOK_S", 0.02)
    await serve(state, start_worker)
    client = await connect()
    status, _, _ = await client.ask(request())
    monkeypatch.setattr(connection, "KEEP_ALIVE_S", 0.05)

    assert await client.is_closed()
    assert status == 200


@pytest.mark.parametrize("raw", [request(), chunked(), chunked() + chunked()], ids=["express", "asgi", "pipelined"])
async def test_client_gone__worker_is_told_and_it_counts(
    state: State, start_worker: type_Start, connect: type_Connect, raw: bytes
) -> None:
    entered, opened = asyncio.Event(), asyncio.Event()

    async def wait(header: Any, body: bytes) -> dict[str, Any]:
        entered.set()
        await opened.wait()
        return await fine(header, body)

    worker = await serve(state, start_worker, wait)
    client = await connect()
    client.writer.write(raw)
    await entered.wait()
    client.writer.transport.abort()
    lane = next(iter(state.lanes.values()))
    await auntil(lambda: lane.counts.dropped, "the request is dropped")
    opened.set()
    await auntil(lambda: worker.cancelled, "the worker is told")

    assert worker.cancelled == [RequestHeader("cancel", target=1, item=0)]
    assert [window.client_errors for window in state.windows.take(everything=True)] == [1]
    assert state.open_requests == {("production", "e"): 0}


async def test_connection_close_asked__answered_then_closed(
    state: State, start_worker: type_Start, connect: type_Connect
) -> None:
    await serve(state, start_worker)
    client = await connect()

    assert (await client.ask(request(connection="close")))[0] == 200
    assert await client.is_closed()


@pytest.mark.parametrize("make", [request, chunked], ids=["express", "asgi"])
@pytest.mark.parametrize(
    ("path", "status"), [("/production/v2/models/e/versions/9/infer", 404), (PATH, 429)], ids=["version", "full"]
)
async def test_client_gone_after_a_refusal__nothing_fails_and_nothing_stays_open(
    state: State,
    start_worker: type_Start,
    server: uvicorn.Server,
    connect: type_Connect,
    failures: list[dict[str, Any]],
    make: Callable[[str], bytes],
    path: str,
    status: int,
) -> None:
    entered, opened = asyncio.Event(), asyncio.Event()

    async def wait(header: Any, body: bytes) -> dict[str, Any]:
        entered.set()
        await opened.wait()
        return await fine(header, body)

    await serve(state, start_worker, wait, max_in_flight=1)
    first, second = await connect(), await connect()
    first.writer.write(request())
    await entered.wait()
    refused = await second.ask(make(path))
    second.writer.transport.abort()
    async with asyncio.timeout(5):
        while len(server.server_state.connections) > 1:
            await asyncio.sleep(0.001)
    opened.set()

    assert refused[0] == status
    assert (await first.answer())[0] == 200
    assert state.open_requests == {("production", "e"): 0}
    assert failures == []


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("make", [request, chunked], ids=["express", "asgi"])
async def test_head__larger_than_its_limit__431_and_closed_however_it_comes(
    state: State, start_worker: type_Start, connect: type_Connect, make: Callable[..., bytes], pieces: int
) -> None:
    worker = await serve(state, start_worker)
    client = await connect()
    raw = make(**{"x-large": "x" * 70_000})
    for number in range(pieces):
        client.writer.write(raw[number * len(raw) // pieces : (number + 1) * len(raw) // pieces])
        await client.writer.drain()
        await asyncio.sleep(PIECES_APART_S)

    assert (await client.answer())[0] == 431
    assert worker.seen == []


async def test_head__within_its_limit_before_a_large_body__is_answered(
    state: State, start_worker: type_Start, connect: type_Connect
) -> None:
    await serve(state, start_worker, max_body_bytes=200_000)
    client = await connect()
    raw = request(body=b"x" * 100_000, **{"x-large": "x" * 30_000})

    assert (await client.ask(raw))[0] == 200
    assert (await client.ask(request()))[0] == 200


@pytest.mark.parametrize("make", [request, chunked], ids=["express", "asgi"])
@pytest.mark.parametrize("name", ["Authorization", "X-Mlorch-Unit", "Content-Type"])
async def test_header_that_decides__there_twice__400(
    state: State, start_worker: type_Start, connect: type_Connect, make: Callable[..., bytes], name: str
) -> None:
    worker = await serve(state, start_worker)
    client = await connect()
    raw = make(**{"x-mlorch-unit": "a"}).replace(b"\r\n\r\n", f"\r\n{name}: Bearer other\r\n\r\n".encode(), 1)
    status, _, body = await client.ask(raw)

    assert status == 400
    assert name.lower() in body.decode()
    assert worker.seen == []


async def test_header_that_decides_nothing__there_twice__is_no_matter(
    state: State, start_worker: type_Start, connect: type_Connect
) -> None:
    await serve(state, start_worker)
    client = await connect()
    assert (await client.ask(request(accept="*/*").replace(b"\r\n\r\n", b"\r\nAccept: a/b\r\n\r\n", 1)))[0] == 200


@pytest.mark.parametrize(
    ("readers", "client", "key", "status"),
    [
        ("loopback", ("127.0.0.1", 1), "", 200),
        ("loopback", ("::1", 1), "", 200),
        ("loopback", None, "", 200),
        ("loopback", ("192.0.2.1", 1), "", 401),
        ("loopback", ("192.0.2.1", 1), KEY, 200),
        ("key", ("127.0.0.1", 1), "", 401),
        ("key", ("127.0.0.1", 1), "mlk_other", 401),
        ("key", ("127.0.0.1", 1), KEY, 200),
        ("all", ("192.0.2.1", 1), "", 200),
    ],
)
async def test_metrics__are_for_this_machine_or_who_has_a_key(
    state: State, readers: str, client: Any, key: str, status: int
) -> None:
    state.config = replace(state.config, metrics_readers=readers)
    state.apply(table(sockets={"1": "/nowhere/1.sock", "2": "/nowhere/2.sock"}))
    headers = [(b"authorization", f"Bearer {key}".encode())] if key else []
    scope = {"type": "http", "path": "/metrics", "method": "GET", "headers": headers, "client": client}
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    application = App(state)
    await application.exposition.start()
    await application(scope, receive, send)
    await application.exposition.stop()
    assert said[0]["status"] == status
