"""The loops that speak with the site: poll and acknowledge route tables, push windows. Neither ever stops the serving."""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import aiohttp
import structlog

from dataplane.gateway.config import (
    BACKOFF_FIRST_S,
    BACKOFF_MAX_S,
    CLOSE_DELAY_S,
    NEWS_EVERY_S,
    POLL_TIMEOUT_S,
    POLL_WAIT_DRAINING_S,
    POLL_WAIT_S,
    PUSH_LOOK_S,
    PUSH_TIMEOUT_S,
)
from dataplane.gateway.site.poll_stats import stats_of
from dataplane.gateway.state import State

log = structlog.get_logger(__name__)

UNREACHABLE = (aiohttp.ClientError, TimeoutError, ValueError, KeyError)


def poll_body(state: State) -> dict[str, Any]:
    """Return what the gateway says of itself; `have` is the acknowledgement."""
    in_flight = state.in_flight()
    draining = set(in_flight) - state.routed_replicas()
    beside = state.generations.beside()
    wait_s = POLL_WAIT_DRAINING_S if draining or beside else POLL_WAIT_S
    if beside and not state.metrics.is_connected:
        wait_s = 0  # who takes over from another process waits for the first answer
    return {
        "boot": state.boot,
        "beside": beside,
        "have": {name: table.revision for name, table in state.tables.items()},
        "refused": state.refused,
        "in_flight": in_flight,
        "wait_s": wait_s,
        "stats": stats_of(state),
    }


async def kept_up(state: State, name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """Run a loop that never ends, again after an error nobody foresaw: without it the gateway would serve old routes for ever, and say nothing."""
    while True:
        try:
            await loop()
        except Exception:
            log.exception("loop.failed", loop=name)
            state.metrics.loop_failed(name)
        await asyncio.sleep(BACKOFF_MAX_S)


def obey(state: State, answer: Any) -> float:
    """Apply what the site answered; return how many seconds to wait before the next poll. Raises ValueError when it is no answer to a poll.

    Each table is used whole or not at all. After a refusal the next poll waits a little: a site that sends the same again must not keep the gateway busy.
    """
    tables, environments = _read(answer)
    taken = [state.apply(document) for document in tables]
    state.forget_all_but(environments)
    state.keep()
    return 0.0 if all(taken) else BACKOFF_FIRST_S


def _read(answer: Any) -> tuple[list[Any], list[str]]:
    tables, environments = (
        answer.get(name) if isinstance(answer, dict) else None for name in ("tables", "environments")
    )
    if not isinstance(tables, list) or not isinstance(environments, list):
        raise ValueError("the site's answer has no lists of tables and environments")
    if not all(isinstance(name, str) for name in environments):
        raise ValueError("the site's answer names environments by something else than texts")
    return tables, environments


async def poll_forever(state: State, session: aiohttp.ClientSession) -> None:
    """Poll for newer tables for ever, acknowledging by the next poll."""
    backoff_s = BACKOFF_FIRST_S
    while True:
        try:
            answer = await _unless_news(state, _ask(state, session))
            if answer is not None:
                wait_s = obey(state, answer)
                backoff_s = _said(state, True, "")
                await asyncio.sleep(wait_s)
        except UNREACHABLE as error:
            _said(state, False, str(error) or type(error).__name__)
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)


async def _unless_news(state: State, asking: Coroutine[Any, Any, Any]) -> Any:
    """Return the site's answer; None when something came up that it is to hear first: the poll is given up then, to be made again."""
    state.news.clear()
    tasks = asyncio.create_task(asking), asyncio.create_task(_news(state))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return tasks[0].result() if tasks[0].done() else None
    finally:
        for task in tasks:
            task.cancel()


async def _news(state: State) -> None:
    await asyncio.sleep(NEWS_EVERY_S)
    await state.news.wait()


async def _ask(state: State, session: aiohttp.ClientSession) -> Any:
    url = f"{state.config.control_url}/internal/v1/gateways/{state.config.gateway_id}/poll"
    timeout = aiohttp.ClientTimeout(total=POLL_TIMEOUT_S)
    async with session.post(url, json=poll_body(state), timeout=timeout) as response:
        if response.status != 200:
            raise aiohttp.ClientError(f"HTTP {response.status}")
        return json.loads(await response.read())


def _said(state: State, connected: bool, why: str) -> float:
    before, state.metrics.is_connected = state.metrics.is_connected, connected
    if before != connected:
        log.info("control.connected") if connected else log.warning("control.lost", why=why)
    return BACKOFF_FIRST_S


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


async def _push(state: State, session: aiohttp.ClientSession, waiting: list[Any]) -> None:
    url = f"{state.config.control_url}/internal/v1/gateways/{state.config.gateway_id}/windows"
    timeout = aiohttp.ClientTimeout(total=PUSH_TIMEOUT_S)
    for path in waiting:
        batch = state.spool.read(path)
        if not batch:
            state.spool.done(path)
            continue
        async with session.post(url, json=batch, timeout=timeout) as response:
            if response.status == 409:
                # The batch the site expects was dropped for want of room: say so with this one.
                async with session.post(url, json={**batch, "gap": True}, timeout=timeout) as again:
                    if again.status != 200:
                        raise aiohttp.ClientError(f"HTTP {again.status}")
            elif response.status in (400, 413):
                log.error("windows.refused", batch=str(path.name), why=(await response.text())[:300])
            elif response.status != 200:
                raise aiohttp.ClientError(f"HTTP {response.status}")
        state.spool.done(path)
