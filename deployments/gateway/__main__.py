"""`python -m deployments.gateway`: serve until SIGTERM, then finish what is open and spool the last window."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator, Iterator

import aiohttp
import uvicorn
import uvloop

from deployments.gateway import control
from deployments.gateway.app import App
from deployments.gateway.config import BACKLOG, STOP_TIMEOUT_S, Config, from_environment
from deployments.gateway.http import Connection
from deployments.gateway.state import State


class Server(uvicorn.Server):
    """A server that only stops serving at a signal: uvicorn's own would raise it again and end the process before its last words."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.handle_exit, number, None)
        yield


def listen(config: Config) -> socket.socket:
    """Return the listening socket. Several processes listen on one port only when they are told to: else two products would share it unnoticed."""
    listener = socket.socket(socket.AF_INET6 if ":" in config.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if config.shares_port:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((config.host, config.port))
    return listener


def server_of(application: App) -> Server:
    """Return the HTTP server of the application."""
    return Server(
        uvicorn.Config(
            application,
            http=type("Connection", (Connection,), {"application": application}),
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=STOP_TIMEOUT_S,
        )
    )


@contextlib.asynccontextmanager
async def grpc_port(state: State) -> AsyncIterator[None]:
    """Listen for gRPC too, when a port is given. The library is loaded only then."""
    if not state.config.grpc_port:
        yield
        return
    from deployments.gateway.grpc import grpc_server

    server = await grpc_server.start(state, state.config.host, state.config.grpc_port)
    try:
        yield
    finally:
        await server.stop(STOP_TIMEOUT_S)


async def main() -> None:
    config = from_environment()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    state = State(config)
    state.load_from_disk()
    application = App(state)
    await application.exposition.start()
    headers = {"Authorization": f"Bearer {config.control_token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        loops = [
            asyncio.create_task(control.poll_forever(state, session)),
            asyncio.create_task(control.windows_forever(state)),
            asyncio.create_task(control.push_forever(state, session)),
        ]
        # The sink is somebody else: the control token of the other session is not for it.
        sink = aiohttp.ClientSession()
        loops.append(asyncio.create_task(state.request_log.drain_forever(sink)))
        try:
            async with grpc_port(state):
                await server_of(application).serve(sockets=[listen(config)])
        finally:
            for loop in loops:
                loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*loops)
            control.spool_windows(state, everything=True)
            await state.request_log.drain(None)
            await sink.close()
            await application.exposition.stop()
            state.close()


if __name__ == "__main__":
    uvloop.run(main())
