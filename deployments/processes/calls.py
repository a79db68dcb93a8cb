"""Routes for gateway and agent: long poll for route tables, sync of replicas (docs/wire.md sections 3 and 5)."""

import asyncio
import time
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from dataplane.wire.agent_sync import SYNC_BODY_MAX_BYTES, AgentReport
from dataplane.wire.gateway_poll import POLL_BODY_MAX_BYTES, WAIT_MAX_S, PollAnswer, PollReport
from deployments import limits
from deployments.platforms.local import goal_of
from deployments.processes.agents import agent_report
from deployments.processes.gateways import environment_names, gateway_report, gateway_touch, newer_tables
from deployments.routes.revisions import newest_revisions
from mlorch_site.accounts.route_permission import control_only
from mlorch_site.lib import clock
from mlorch_site.lib.errors import DomainError
from mlorch_site.lib.http import error_response
from mlorch_site.lib.wire import answer_shape, read_shape


@control_only
@require_POST
async def gateway_poll(request: HttpRequest, gateway: str) -> HttpResponse:
    """Store the gateway's report; answer at once with newer tables, or when there are some, or after `wait_s`."""
    try:
        report = read_shape(request, PollReport, POLL_BODY_MAX_BYTES)
    except DomainError as error:
        return error_response(error, request)
    await _in_thread(gateway_report)(gateway=gateway, report=report, now=clock.now())
    await _wait_for_news(gateway, report)
    return answer_shape(await _in_thread(_answer)(report.known))


@control_only
@require_POST
def agent_sync(request: HttpRequest, agent: str) -> HttpResponse:
    """Store what the agent observes and answer its goal."""
    report = read_shape(request, AgentReport, SYNC_BODY_MAX_BYTES)
    return answer_shape(goal_of(agent_report(agent=agent, report=report, now=clock.now())))


async def _wait_for_news(gateway: str, report: PollReport) -> None:
    """Return when a table differs from what the gateway has, or after `wait_s`; meanwhile say that the gateway lives."""
    began = touched = time.monotonic()
    while time.monotonic() - began < min(report.wait_s, WAIT_MAX_S):
        if await sync_to_async(newest_revisions)() != report.known:
            return
        if time.monotonic() - touched > limits.GATEWAY_TOUCH_S:
            touched = time.monotonic()
            await _in_thread(gateway_touch)(gateway=gateway, boot=report.boot, now=clock.now())
        await asyncio.sleep(limits.GATEWAY_POLL_LOOK_S)


def _answer(known: dict[str, int]) -> PollAnswer:
    return PollAnswer(newer_tables(known), environment_names())


def _in_thread(function: Any) -> Any:
    return sync_to_async(function, thread_sensitive=True)
