"""The poll: the site hears what the gateway obeys, and answers with newer route tables (docs/wire.md section 3)."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import aiohttp
import structlog

from dataplane.gateway.config import (
    BACKOFF_FIRST_S,
    BACKOFF_MAX_S,
    NEWS_EVERY_S,
    POLL_TIMEOUT_S,
    POLL_WAIT_DRAINING_S,
    POLL_WAIT_S,
)
from dataplane.gateway.site.loops import UNREACHABLE
from dataplane.gateway.site.poll_stats import stats_of
from dataplane.gateway.state import State
from dataplane.wire import shapes
from dataplane.wire.gateway_poll import PollAnswer, PollReport

log = structlog.get_logger(__name__)

JSON = {"Content-Type": "application/json"}


def poll_report(state: State) -> PollReport:
    """What the gateway says of itself; `have` is the acknowledgement."""
    in_flight = state.in_flight()
    draining = set(in_flight) - state.routed_replicas()
    peers = state.peers.others()
    wait_s = POLL_WAIT_DRAINING_S if draining or peers else POLL_WAIT_S
    if peers and not state.metrics.is_connected:
        wait_s = 0  # who takes over from another process waits for the first answer
    return PollReport(
        boot=state.boot,
        peers=peers,
        have={name: table.revision for name, table in state.tables.items()},
        refused=state.refused,
        in_flight=in_flight,
        wait_s=wait_s,
        stats=stats_of(state),
    )


def obey(state: State, answer: PollAnswer) -> float:
    """Apply what the site answered; return how many seconds to wait before the next poll.

    Each table is used whole or not at all. After a refusal the next poll waits a little: a site that sends the same
    again must not keep the gateway busy.
    """
    taken = [state.apply(document) for document in answer.tables]
    state.forget_all_but(answer.environments)
    state.keep()
    return 0.0 if all(taken) else BACKOFF_FIRST_S


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


async def _unless_news(state: State, asking: Coroutine[Any, Any, PollAnswer]) -> PollAnswer | None:
    """The site's answer; None when something came up that it is to hear first: the poll is given up then, to be made
    again.
    """
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


async def _ask(state: State, session: aiohttp.ClientSession) -> PollAnswer:
    url = f"{state.config.control_url}/internal/v1/gateways/{state.config.gateway_id}/poll"
    timeout = aiohttp.ClientTimeout(total=POLL_TIMEOUT_S)
    async with session.post(url, data=shapes.write(poll_report(state)), headers=JSON, timeout=timeout) as response:
        if response.status != 200:
            raise aiohttp.ClientError(f"HTTP {response.status}")
        return shapes.read(PollAnswer, await response.read())


def _said(state: State, connected: bool, why: str) -> float:
    before, state.metrics.is_connected = state.metrics.is_connected, connected
    if before != connected:
        log.info("control.connected") if connected else log.warning("control.lost", why=why)
    return BACKOFF_FIRST_S
