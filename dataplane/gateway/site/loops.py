"""The loops that speak with the site never end, and none of them ever stops the serving."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import structlog

from dataplane.gateway.config import BACKOFF_MAX_S
from dataplane.gateway.state import State

log = structlog.get_logger(__name__)

UNREACHABLE = (aiohttp.ClientError, TimeoutError, ValueError, KeyError)


async def kept_up(state: State, name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """Run a loop that never ends, again after an error nobody foresaw: without it the gateway would serve old routes
    for ever, and say nothing.
    """
    while True:
        try:
            await loop()
        except Exception:
            log.exception("loop.failed", loop=name)
            state.metrics.loop_failed(name)
        await asyncio.sleep(BACKOFF_MAX_S)
