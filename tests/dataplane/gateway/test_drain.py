"""Draining: what is asked is answered, whoever may be about to ask is not cut off, and nothing new is accepted."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from dataplane.gateway.http import http_server as gateway_server
from dataplane.gateway.http.app import App
from dataplane.gateway.http.http_server import Server
from dataplane.gateway.state import State
from dataplane.wire.frames import AnswerHeader, RequestHeader, encode_frame, read_frame
from tests.dataplane.gateway.conftest import FrameWorker, fine, table
from tests.dataplane.gateway.test_http import Client, request
from tests.support.waiting import auntil, patience

LINGER_S = 0.15
FOR_EVER_S = 3600.0
PARTS = 3
# Once it is answered the gateway has read what other connections wrote before it.
LOOK = request("/healthz", b"", "GET")


class Running:
    """A serving gateway and what its worker waits for.

    Idle connections linger for ever unless a test says otherwise.
    """

    def __init__(
        self, application: App, server: Server, port: int, task: asyncio.Task[None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._monkeypatch = monkeypatch
        self.application = application
        self.linger(FOR_EVER_S)
        self.server = server
        self.port = port
        self.task = task
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()

    def linger(self, seconds: float) -> None:
        self._monkeypatch.setattr(gateway_server, "DRAIN_LINGER_S", seconds)

    async def client(self) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.port))

    async def drain(self, *, is_hurried: bool = False) -> None:
        """Tell it to drain, and return when it accepts nothing any more."""
        self.server.stop(is_hurried)
        await auntil(lambda: self.application.is_draining, "nothing more is accepted")

    async def ended(self) -> None:
        async with asyncio.timeout(patience()):
            await self.task

    async def drain_past_linger(self) -> None:
        """Tell it to drain, and return when a connection that was idle all the while has been closed."""
        idle = await self.client()
        self.linger(LINGER_S)
        await self.drain()
        assert await idle.is_closed()
        self.linger(FOR_EVER_S)


async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, opened: asyncio.Event) -> None:
    """Answer a streamed request: its first part at once, the others when `opened` says so."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            header, _ = await read_frame(reader, RequestHeader)
            if header.op == "hello":
                writer.write(encode_frame(AnswerHeader(header.id), b'{"max_batch": 1}'))
                continue
            told = AnswerHeader(header.id, content_type="text/event-stream")
            for number in range(PARTS):
                writer.write(encode_frame(msgspec.structs.replace(told, more=True), f"data: {number}\n\n".encode()))
                await opened.wait()
            writer.write(encode_frame(told))


@pytest.fixture
async def gateway(
    state: State, start_worker: Callable[..., Awaitable[FrameWorker]], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Running]:
    monkeypatch.setattr(gateway_server, "DRAIN_LOOK_S", 0.01)
    listener = socket.create_server(("127.0.0.1", 0))
    is_up = asyncio.Event()
    application = App(state)
    server = Server(application, is_up.set)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    running = Running(application, server, listener.getsockname()[1], serving, monkeypatch)

    async def behaviour(header: Any, body: bytes) -> dict[str, Any]:
        if body == b"slow":
            running.entered.set()
            await running.opened.wait()
        return await fine(header, body)

    await start_worker("1", behaviour)
    streaming = await asyncio.start_unix_server(
        lambda reader, writer: stream(reader, writer, running.opened), path=str(state.config.data_dir / "2.sock")
    )
    sockets = {version: str(state.config.data_dir / f"{version}.sock") for version in "12"}
    document = table(sockets=sockets)
    other = {**document["endpoints"]["e"], "arms": [{**document["endpoints"]["e"]["arms"][0], "weight_pct": 100}]}
    document["endpoints"]["streaming"] = other
    state.apply(document)
    await is_up.wait()
    yield running
    server.stop(is_hurried=True)
    running.opened.set()
    await running.ended()
    streaming.close()
    state.close()


def chunked(body: bytes) -> bytes:
    return request(body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), **{"transfer-encoding": "chunked"})


@pytest.mark.parametrize("raw", [request(body=b"slow"), chunked(b"slow")], ids=["express", "asgi"])
async def test_drain__request_in_flight__is_answered_and_told_to_reconnect(gateway: Running, raw: bytes) -> None:
    client = await gateway.client()
    client.writer.write(raw)
    await gateway.entered.wait()
    await gateway.drain_past_linger()
    gateway.opened.set()
    status, headers, body = await client.answer()

    assert (status, headers["connection"], body) == (200, "close", b'{"got": 4}')
    assert await client.is_closed()
    await gateway.ended()


@pytest.mark.parametrize("raw", [request(), chunked(b"{}")], ids=["express", "asgi"])
async def test_drain__request_on_an_idle_connection__is_answered_and_told_to_reconnect(
    gateway: Running, raw: bytes
) -> None:
    used, fresh = await gateway.client(), await gateway.client()
    assert "connection" not in (await used.ask(raw))[1]
    await gateway.drain()
    answers = [await client.ask(raw) for client in (used, fresh)]

    assert [(status, headers["connection"]) for status, headers, _ in answers] == [(200, "close")] * 2
    assert await used.is_closed()
    await gateway.ended()


async def test_drain__idle_connection__is_closed_after_its_linger_time(gateway: Running) -> None:
    client = await gateway.client()
    await client.ask(request())
    gateway.linger(LINGER_S)
    began = asyncio.get_running_loop().time()
    await gateway.drain()

    assert await client.is_closed()
    assert asyncio.get_running_loop().time() - began >= LINGER_S
    await gateway.ended()


async def test_drain__request_lies_unread_when_the_time_is_over__is_answered(gateway: Running) -> None:
    client = await gateway.client()
    await client.ask(request())
    connection: Any = next(iter(gateway.server.server_state.connections))
    client.writer.write(request())
    # No turn of the loop has passed: nobody has read it yet.
    connection.end_if_idle(asyncio.get_running_loop().time())

    assert (await client.answer())[0] == 200


async def test_drain__streamed_answer__is_finished_and_its_connection_lingers(gateway: Running) -> None:
    client = await gateway.client()
    raw = request("/production/endpoints/streaming/invocations", b'{"stream": true}')
    client.writer.write(raw)
    head = await client.reader.readuntil(b"\r\n\r\n")
    await client.reader.readuntil(b"data: 0\n\n\r\n")
    await gateway.drain_past_linger()
    gateway.opened.set()
    rest = await client.reader.readuntil(b"0\r\n\r\n")

    # It began before the process drained: its head cannot say that the connection ends, so a next request is taken.
    assert b"connection: close" not in head
    assert rest.count(b"data: ") == PARTS - 1
    assert (await client.ask(request()))[1]["connection"] == "close"
    await gateway.ended()


async def test_drain__pipelined_requests__all_are_answered_and_the_last_one_says_close(gateway: Running) -> None:
    client, other = await gateway.client(), await gateway.client()
    client.writer.write(request(body=b"slow"))
    await gateway.entered.wait()
    await gateway.drain()
    client.writer.write(request(body=b"1") + request("/healthz", b"", "GET") + request(body=b"22"))
    await other.ask(LOOK)
    gateway.opened.set()
    answers = [await client.answer() for _ in range(4)]

    assert [json.loads(body).get("got") for _, _, body in answers] == [4, 1, None, 2]
    assert [headers.get("connection") for _, headers, _ in answers] == [None, None, None, "close"]
    await gateway.ended()


async def test_drain__half_a_request__its_rest_is_waited_for(gateway: Running) -> None:
    client, other = await gateway.client(), await gateway.client()
    raw = request(body=b"x" * 100)
    client.writer.write(raw[:50])
    await other.ask(LOOK)
    await gateway.drain_past_linger()
    client.writer.write(raw[50:])

    assert (await client.answer())[2] == b'{"got": 100}'
    await gateway.ended()


async def test_drain__new_connection__waits_in_the_listening_socket_for_the_next_process(
    state: State, gateway: Running
) -> None:
    kept = gateway.server.servers[0].sockets[0].dup()
    await gateway.drain()
    client = await gateway.client()
    client.writer.write(request())
    await gateway.ended()
    is_up = asyncio.Event()
    successor = Server(App(state), is_up.set)
    serving = asyncio.create_task(successor.serve(sockets=[kept]))

    assert (await client.answer())[0] == 200
    successor.stop(is_hurried=True)
    await client.is_closed()
    await serving


async def test_drain__longer_than_its_limit__is_cut(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_server, "DRAIN_MAX_S", 0.1)
    client = await gateway.client()
    client.writer.write(chunked(b"slow"))
    await gateway.entered.wait()
    await gateway.drain()

    assert await client.is_closed()
    await gateway.ended()


async def test_end__hurried__idle_connections_are_closed_at_once_and_open_requests_answered(
    gateway: Running,
) -> None:
    idle, busy = await gateway.client(), await gateway.client()
    await idle.ask(request())
    busy.writer.write(request(body=b"slow"))
    await gateway.entered.wait()
    await gateway.drain(is_hurried=True)

    assert await idle.is_closed()
    gateway.opened.set()
    assert (await busy.answer())[0] == 200
    await gateway.ended()


async def test_drain__websocket_asked_for__is_refused_as_ever(gateway: Running) -> None:
    upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    raw = request("/healthz", b"", "GET", **upgrade, **{"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="})

    async def status_line(client: Client) -> bytes:
        client.writer.write(raw)
        async with asyncio.timeout(5):
            return await client.reader.readline()

    used, fresh = await gateway.client(), await gateway.client()
    before = await status_line(await gateway.client())
    await used.ask(request())
    await gateway.drain()

    assert [await status_line(client) for client in (used, fresh)] == [before] * 2
    await gateway.ended()
