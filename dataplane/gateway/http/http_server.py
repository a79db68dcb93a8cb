"""The HTTP server, and how it ends: whoever asks is answered, and nobody's connection is cut while he may be asking."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import structlog
import uvicorn

from dataplane.gateway.config import BACKLOG, DRAIN_LINGER_S, DRAIN_LOOK_S, DRAIN_MAX_S, STOP_TIMEOUT_S
from dataplane.gateway.handover import all_accepted
from dataplane.gateway.http.app import App
from dataplane.gateway.http.connection import connections_of

log = structlog.get_logger(__name__)

DATE_EVERY_S = 1.0
type_Drain = Callable[[float, float], Awaitable[None]]


class Server(uvicorn.Server):
    """Serves until a signal.

    SIGTERM: others take over, drain so that no client notices. SIGINT: it is the end, be quick.

    `other_drains` are those of other transports, run at the same time: within the first number of seconds, of which who
    is idle gets the second.
    """

    def __init__(self, application: App, when_ready: Callable[[], None] = lambda: None) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                http=connections_of(application),
                log_level="warning",
                access_log=False,
                lifespan="off",
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
            )
        )
        self.other_drains: list[type_Drain] = []
        self._application = application
        self._when_ready = when_ready
        self._is_hurried = False

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own handlers would raise the signal again and end the process before its last words.
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.stop, number == signal.SIGINT)
        yield

    def stop(self, is_hurried: bool = False) -> None:
        """Begin to drain; hurried, clients with idle connections get no time any more. A second call can only hurry."""
        self._is_hurried = self._is_hurried or is_hurried
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._when_ready()

    @property
    def is_draining(self) -> bool:
        """Whether nothing new is accepted any more."""
        return self._application.is_draining

    @property
    def _drain_max_s(self) -> float:
        return STOP_TIMEOUT_S if self._is_hurried else DRAIN_MAX_S

    @property
    def _linger_s(self) -> float:
        return 0.0 if self._is_hurried else DRAIN_LINGER_S

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing more, answer what is open, then close."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        self._application.is_draining = True
        open_ones = len(self.server_state.connections)
        began = asyncio.get_running_loop().time()
        log.info("drain.begun", connections=open_ones, hurried=self._is_hurried)
        await asyncio.gather(
            self._drain(began), *(drain(self._drain_max_s, self._linger_s) for drain in self.other_drains)
        )
        log.info("drain.done", seconds=round(asyncio.get_running_loop().time() - began, 2))

    async def _drain(self, began: float) -> None:
        loop, state = asyncio.get_running_loop(), self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        await all_accepted()
        dated = began
        while state.connections or state.tasks:
            now = loop.time()
            if now - began > self._drain_max_s:
                self._cut()
                return
            if now - dated > DATE_EVERY_S:
                dated = now
                await self.on_tick(0)
            self._end_idle(now, began)
            await asyncio.sleep(DRAIN_LOOK_S)

    def _end_idle(self, now: float, began: float) -> None:
        if now - began < self._linger_s:
            return
        connections: Any = list(self.server_state.connections)
        for connection in connections:
            connection.end_if_idle(now - self._linger_s)

    def _cut(self) -> None:
        """End what has not ended by itself."""
        state = self.server_state
        log.warning("drain.cut", connections=len(state.connections), requests=len(state.tasks))
        for task in state.tasks:
            task.cancel()
        for connection in list(state.connections):
            connection.transport.close()
