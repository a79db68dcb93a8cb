"""The tunnel of the gRPC port: each connection is passed on to the gRPC server of this process, so that it can drain.

gRPC's own server takes no listening socket over, and cancels what reaches it after it was stopped. Here the client
hears of it first: a GOAWAY frame (RFC 9113, section 6.8) is put between two frames of the server. The client then opens
no more calls on the connection; those it has opened, and those that are on their way, are answered as ever. Most
clients then close it. One that keeps it gets a second GOAWAY, which names the last call that was taken: what is on its
way even then the client may send again, as it knows that nobody looked at it.

A client gets no GOAWAY before its first call: gRPC's own one was seen to wait for ever when one came that early.
"""

import asyncio
import contextlib
import socket
from typing import Any, cast

from dataplane.gateway.grpc.http2 import PREFACE_BYTES, STREAM_MAX, Http2Frames, OpenCalls, goaway
from dataplane.gateway.handover import all_accepted

BACKLOG = 1024
LOOK_S = 0.01


class _TunnelEnd(asyncio.Protocol):
    """One end of a tunnel: what it reads the other end writes, and no faster."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.other: _TunnelEnd | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None:
            self.other.transport.close()


class _ServerEnd(_TunnelEnd):
    """The end at the gRPC server, which puts the GOAWAY between its frames."""

    def __init__(self, client: "_ClientEnd") -> None:
        super().__init__()
        self.other = self._client = client
        self._calls = client.calls
        self._frames = Http2Frames(client.calls.server_began)
        self._is_goaway_due = False

    def data_received(self, data: bytes) -> None:
        place = self._frames.feed(data)
        if self._is_goaway_due and place >= 0 and self._calls.newest:
            self._is_goaway_due = False
            data = data[:place] + goaway(STREAM_MAX) + data[place:]
        super().data_received(data)

    def send_goaway(self) -> None:
        """Tell the client to open no more calls here, as soon as that can be said."""
        if self._calls.newest and self._frames.is_between:
            self._client.transport.write(goaway(STREAM_MAX))
        else:
            self._is_goaway_due = True

    def end_if_idle(self) -> None:
        """End the connection of a client that has no open call."""
        if self._frames.is_between and not self._calls.are_open:
            self._client.end()


class _ClientEnd(_TunnelEnd):
    """The end at the client.

    What comes before the other end is there is kept: it takes no longer than a turn of the loop or two.
    """

    def __init__(self, tunnel: "Tunnel") -> None:
        super().__init__()
        self.calls = OpenCalls()
        self._tunnel = tunnel
        self._frames = Http2Frames(self.calls.client_began, PREFACE_BYTES)
        self._early: list[bytes] = []
        self._is_ending = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._tunnel.take(self)

    def data_received(self, data: bytes) -> None:
        if self._is_ending:
            return
        self._frames.feed(data)
        if self.other is None:
            self._early.append(data)
        else:
            self.other.transport.write(data)

    def join(self, other: _ServerEnd) -> None:
        """Pass on what has come, and from now on what comes."""
        self.other = other
        early, self._early = b"".join(self._early), []
        if early:
            other.transport.write(early)

    def end(self) -> None:
        """Say that nothing beyond the newest call is looked at, and no more. The client closes.

        Were it done here, its bytes that are on their way would make it a reset, and the GOAWAY would be lost with it.
        """
        if not self._is_ending and not self.transport.is_closing():
            self._is_ending = True
            self.transport.write(goaway(self.calls.newest))
            with contextlib.suppress(OSError):  # it closes this moment
                self.transport.write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._tunnel.clients.discard(self)


class Tunnel:
    """Listens for clients in the place of the gRPC server at the abstract unix socket `name`."""

    def __init__(self, name: str) -> None:
        self.clients: set[_ClientEnd] = set()
        self._name = name
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_leaving = False

    async def start(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _ClientEnd(self), sock=listener, backlog=BACKLOG)

    def take(self, client: _ClientEnd) -> None:
        """Connect a new client with the gRPC server."""
        self.clients.add(client)
        task = asyncio.create_task(self._connect(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, client: _ClientEnd) -> None:
        inner = socket.socket(socket.AF_UNIX)
        inner.setblocking(False)
        try:
            inner.connect(f"\0{self._name}")
            _, server = await asyncio.get_running_loop().create_unix_connection(lambda: _ServerEnd(client), sock=inner)
        except OSError:
            inner.close()
            client.transport.abort()
            return
        client.join(server)
        if client.transport.is_closing():
            server.transport.close()
            return
        if self._is_leaving:
            server.send_goaway()

    async def stop(self, grace_s: float, linger_s: float) -> None:
        """Accept nothing more, send everybody a GOAWAY, and return when all have closed or `grace_s` is over.

        Who is idle may stay for `linger_s`.
        """
        if self._server is not None:
            self._server.close()
        self._is_leaving = True
        for server in self._servers():
            server.send_goaway()
        loop = asyncio.get_running_loop()
        began = loop.time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await all_accepted()
                while self.clients:
                    if loop.time() - began >= linger_s:
                        for server in self._servers():
                            server.end_if_idle()
                    await asyncio.sleep(LOOK_S)

    def _servers(self) -> list[_ServerEnd]:
        return [client.other for client in self.clients if isinstance(client.other, _ServerEnd)]
