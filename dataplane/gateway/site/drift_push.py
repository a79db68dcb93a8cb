"""Counts of sampled requests go to the site, and plans of how to count come back (docs/wire.md section 10)."""

import asyncio
import time

import aiohttp
import structlog

from dataplane.gateway.config import BACKOFF_MAX_S, DRIFT_PUSH_S, PUSH_TIMEOUT_S
from dataplane.gateway.site.loops import UNREACHABLE
from dataplane.gateway.state import State
from dataplane.wire import shapes
from dataplane.wire.drift_report import DriftPlans, DriftReport

log = structlog.get_logger(__name__)

JSON = {"Content-Type": "application/json"}
REFUSED = (400, 413)


async def drift_forever(state: State, session: aiohttp.ClientSession) -> None:
    """Send what was counted every few seconds. A site that is away gets the windows as a whole later."""
    while True:
        await asyncio.sleep(DRIFT_PUSH_S)
        try:
            await drift_push(state, session)
        except UNREACHABLE:
            await asyncio.sleep(BACKOFF_MAX_S)


async def drift_push(state: State, session: aiohttp.ClientSession) -> None:
    """Send one report where there is any. What the site refuses is logged and given up.

    Raises aiohttp.ClientError when it is to be sent again.
    """
    report = await asyncio.to_thread(state.drift.report)
    if report is None:
        return
    url = f"{state.config.control_url}/internal/v1/gateways/{state.config.gateway_id}/drift"
    timeout = aiohttp.ClientTimeout(total=PUSH_TIMEOUT_S)
    body = await asyncio.to_thread(shapes.write, report)
    async with session.post(url, data=body, headers=JSON, timeout=timeout) as response:
        answer = await response.read()
        status = response.status
    if status != 200 and status not in REFUSED:
        raise aiohttp.ClientError(f"HTTP {status}")
    _sent(state, report, status, answer)


def _sent(state: State, report: DriftReport, status: int, answer: bytes) -> None:
    plans = []
    if status == 200:
        plans = shapes.read(DriftPlans, answer).plans
    else:
        log.error("drift.refused", why=answer[:300].decode(errors="replace"))
    state.drift.sent(report, plans, time.time())
