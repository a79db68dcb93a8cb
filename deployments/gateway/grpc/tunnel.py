"""The gRPC port: each connection is passed on to the gRPC server of this process, so that the process can leave it without losing a call.

gRPC's own server takes no listening socket over, and cancels what reaches it after it was told to stop. Here the client is told first: a GOAWAY
frame (RFC 9113, section 6.8) is put between two frames of the server. The client then opens no more calls on the connection; those it has
opened, and those that are on their way, are answered as ever, and then it closes.
"""

import asyncio
import contextlib
import socket
from typing import Any, cast

from deployments.gateway.handover import all_accepted

HEAD_BYTES = 9
HEADERS, PUSH_PROMISE, CONTINUATION = 1, 5, 9
END_HEADERS = 4
# Length 8, type GOAWAY, no flags, stream 0; the last stream that is answered: any; no error.
GOAWAY = b"\0\0\x08\x07\0\0\0\0\0" + b"\x7f\xff\xff\xff" + b"\0\0\0\0"
BACKLOG = 1024
LOOK_S = 0.01


class Frames:
    """Finds the places between the frames of an HTTP/2 server's bytes."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self._has_begun = False
        self._is_in_headers = False

    @property
    def is_between(self) -> bool:
        """Return whether a frame may be put in now: after the server's first frame, and not within a block of headers."""
        return self._has_begun and not self._left and not self._head and not self._is_in_headers

    def feed(self, data: bytes) -> int:
        """Take the next bytes; return the last place in them where a frame may be put in, -1 when there is none."""
        at, found = 0, -1
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
            else:
                part = data[at : at + HEAD_BYTES - len(self._head)]
                at += len(part)
                self._begin(self._head + part)
            if self.is_between:
                found = at
        return found

    def _begin(self, head: bytes) -> None:
        """Begin the next frame once its head is whole."""
        self._head = head
        if len(head) < HEAD_BYTES:
            return
        self._head = b""
        self._left = int.from_bytes(head[:3], "big")
        self._has_begun = True
        if head[3] in (HEADERS, PUSH_PROMISE, CONTINUATION):
            self._is_in_headers = not head[4] & END_HEADERS


class _End(asyncio.Protocol):
    """One end of a tunnel: what it reads the other end writes, and no faster."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.other: _End | None = None

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


class _Server(_End):
    """The end at the gRPC server, which knows where its frames begin."""

    def __init__(self, client: _End) -> None:
        super().__init__()
        self.other = client
        self._frames = Frames()
        self._owes_goodbye = False

    def data_received(self, data: bytes) -> None:
        place = self._frames.feed(data)
        if self._owes_goodbye and place >= 0:
            self._owes_goodbye = False
            data = data[:place] + GOAWAY + data[place:]
        super().data_received(data)

    def say_goodbye(self) -> None:
        """Tell the client to open no more calls here, as soon as that can be said."""
        if self._frames.is_between and self.other is not None:
            self.other.transport.write(GOAWAY)
        else:
            self._owes_goodbye = True


class _Client(_End):
    """The end at the client. What comes before the other end is there is kept: it takes no longer than a turn of the loop or two."""

    def __init__(self, tunnel: "Tunnel") -> None:
        super().__init__()
        self._tunnel = tunnel
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._tunnel.take(self)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        else:
            self.other.transport.write(data)

    def join(self, other: "_Server") -> None:
        """Pass on what has come, and from now on what comes."""
        self.other = other
        early, self._early = b"".join(self._early), []
        if early:
            other.transport.write(early)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._tunnel.clients.discard(self)


class Tunnel:
    """Listens for clients in the place of the gRPC server at the abstract unix socket `name`."""

    def __init__(self, name: str) -> None:
        self.clients: set[_Client] = set()
        self._name = name
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_leaving = False

    async def start(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Client(self), sock=listener, backlog=BACKLOG)

    def take(self, client: _Client) -> None:
        """Connect a new client with the gRPC server."""
        self.clients.add(client)
        task = asyncio.create_task(self._connect(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, client: _Client) -> None:
        inner = socket.socket(socket.AF_UNIX)
        inner.setblocking(False)
        try:
            inner.connect(f"\0{self._name}")
            _, server = await asyncio.get_running_loop().create_unix_connection(lambda: _Server(client), sock=inner)
        except OSError:
            inner.close()
            client.transport.abort()
            return
        client.join(server)
        if client.transport.is_closing():
            server.transport.close()
            return
        if self._is_leaving:
            server.say_goodbye()

    async def stop(self, grace_s: float) -> None:
        """Accept nothing more, say goodbye to everybody, and return when all have gone or the time is over."""
        if self._server is not None:
            self._server.close()
        self._is_leaving = True
        for client in self.clients:
            if isinstance(client.other, _Server):
                client.other.say_goodbye()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await all_accepted()
                while self.clients:
                    await asyncio.sleep(LOOK_S)
