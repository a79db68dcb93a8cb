"""`python -m deployments.gateway`: serve until SIGTERM, then finish what is open and spool the last window."""

import asyncio
import contextlib
import logging

import aiohttp
import uvicorn

from deployments.gateway import control
from deployments.gateway.app import App
from deployments.gateway.config import HEADER_MAX_BYTES, STOP_TIMEOUT_S, from_environment
from deployments.gateway.state import State

KEEP_ALIVE_S = 75


async def main() -> None:
    config = from_environment()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    state = State(config)
    state.load_from_disk()
    server = uvicorn.Server(
        uvicorn.Config(
            App(state),
            host=config.host,
            port=config.port,
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            h11_max_incomplete_event_size=HEADER_MAX_BYTES,
            timeout_keep_alive=KEEP_ALIVE_S,
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
    asyncio.run(main())
