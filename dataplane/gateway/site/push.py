"""Windows go to the site: closed every second, spooled, sent in order (docs/wire.md section 4)."""

import asyncio
import contextlib
import time
from pathlib import Path

import aiohttp
import msgspec
import structlog

from dataplane.gateway.config import BACKOFF_FIRST_S, BACKOFF_MAX_S, CLOSE_DELAY_S, PUSH_LOOK_S, PUSH_TIMEOUT_S
from dataplane.gateway.site.loops import UNREACHABLE
from dataplane.gateway.state import State
from dataplane.wire import shapes
from dataplane.wire.window_batch import WindowBatch

log = structlog.get_logger(__name__)

JSON = {"Content-Type": "application/json"}


async def windows_forever(state: State) -> None:
    """Close the windows of each second shortly after it is over, and spool them."""
    while True:
        await asyncio.sleep(1 - time.time() % 1 + CLOSE_DELAY_S)
        spool_windows(state, everything=False)


def spool_windows(state: State, *, everything: bool) -> None:
    """Put the closed windows into the spool."""
    if windows := state.windows.take(everything=everything):
        state.spool.add(windows)
        state.spooled.set()


async def push_forever(state: State, session: aiohttp.ClientSession) -> None:
    """Send spooled batches in order, those of earlier boots first; each is deleted when the site has it."""
    backoff_s = BACKOFF_FIRST_S
    while True:
        state.spooled.clear()
        waiting = state.spool.waiting()
        if not waiting:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(state.spooled.wait(), PUSH_LOOK_S)
            continue
        try:
            await _push(state, session, waiting)
            backoff_s = BACKOFF_FIRST_S
        except UNREACHABLE:
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)


async def _push(state: State, session: aiohttp.ClientSession, waiting: list[Path]) -> None:
    for path in waiting:
        batch = state.spool.read(path)
        if batch is not None:
            await _send(state, session, path.name, batch)
        state.spool.done(path)


async def _send(state: State, session: aiohttp.ClientSession, name: str, batch: WindowBatch) -> None:
    """Return when the site has the batch or will never take it.

    Raises aiohttp.ClientError when it is to be sent again.
    """
    status, text = await _post(state, session, batch)
    if status == 409:
        # The batch the site expects was dropped for want of room: say so with this one.
        status, text = await _post(state, session, msgspec.structs.replace(batch, gap=True))
    if status in (400, 413):
        log.error("windows.refused", batch=name, why=text[:300])
    elif status != 200:
        raise aiohttp.ClientError(f"HTTP {status}")


async def _post(state: State, session: aiohttp.ClientSession, batch: WindowBatch) -> tuple[int, str]:
    url = f"{state.config.control_url}/internal/v1/gateways/{state.config.gateway_id}/windows"
    timeout = aiohttp.ClientTimeout(total=PUSH_TIMEOUT_S)
    async with session.post(url, data=shapes.write(batch), headers=JSON, timeout=timeout) as response:
        return response.status, await response.text()
