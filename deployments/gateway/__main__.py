"""`python -m deployments.gateway`: serve until SIGTERM, then finish what is open and spool the last window."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator

import aiohttp
import uvicorn
import uvloop

from deployments.gateway import control
from deployments.gateway.app import App
from deployments.gateway.config import HEADER_MAX_BYTES, STOP_TIMEOUT_S, from_environment
from deployments.gateway.http import Connection
from deployments.gateway.state import State


class Server(uvicorn.Server):
    """A server that only stops serving at a signal: uvicorn's own would raise it again and end the process before its last words."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.handle_exit, number, None)
        yield


async def main() -> None:
    config = from_environment()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    state = State(config)
    state.load_from_disk()
    application = App(state)
    server = Server(
        uvicorn.Config(
            application,
            http=type("Connection", (Connection,), {"application": application}),
            host=config.host,
            port=config.port,
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=HEADER_MAX_BYTES,
            timeout_graceful_shutdown=STOP_TIMEOUT_S,
        )
    )
    headers = {"Authorization": f"Bearer {config.control_token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        loops = [
            asyncio.create_task(control.poll_forever(state, session)),
            asyncio.create_task(control.windows_forever(state)),
            asyncio.create_task(control.push_forever(state, session)),
        ]
        try:
            await server.serve()
        finally:
            for loop in loops:
                loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*loops)
            control.spool_windows(state, everything=True)
            state.close()


if __name__ == "__main__":
    uvloop.run(main())
