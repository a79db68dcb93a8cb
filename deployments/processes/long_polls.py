"""Routes for gateway and agent: long polls for route tables and for replicas (docs/wire.md sections 3 and 5).

Whoever waits is woken by news of what it waits for (`mlorch_site.live.notifier`); between news it costs nothing.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from dataplane.wire.agent_sync import SYNC_BODY_MAX_BYTES, AgentGoal, AgentReport
from dataplane.wire.gateway_poll import POLL_BODY_MAX_BYTES, PollAnswer, PollReport
from dataplane.wire.shapes import WAIT_MAX_S
from deployments import limits
from deployments.journal import GOAL_TOPIC
from deployments.platforms.local import goal_of
from deployments.processes.agents import agent_goal, agent_report
from deployments.processes.gateways import environment_names, gateway_report, gateway_touch, newer_tables
from deployments.routes.publish import ROUTES_TOPIC
from deployments.routes.revisions import newest_revisions
from mlorch_site.accounts.route_permission import control_only
from mlorch_site.lib import clock
from mlorch_site.lib.errors import DomainError
from mlorch_site.lib.http import error_response
from mlorch_site.lib.wire import answer_shape, read_shape
from mlorch_site.live.notifier import Listener, notifier
from mlorch_site.live.shared import read_once

GOAL_TOPICS = (GOAL_TOPIC, "registry")  # also artifacts that have come: a replica without them is no goal yet


@control_only
@require_POST
async def gateway_poll(request: HttpRequest, gateway: str) -> HttpResponse:
    """Store the gateway's report; answer at once with newer tables, or when there are some, or after `wait_s`."""
    try:
        report = read_shape(request, PollReport, POLL_BODY_MAX_BYTES)
    except DomainError as error:
        return error_response(error, request)
    await _in_thread(gateway_report)(gateway=gateway, report=report, now=clock.now())
    with notifier().listening(ROUTES_TOPIC) as news:
        if await _in_thread(newest_revisions)() == report.known:
            await _wait_for_tables(news, gateway, report)
    return answer_shape(await _in_thread(_answer)(report.known))


@control_only
@require_POST
async def agent_sync(request: HttpRequest, agent: str) -> HttpResponse:
    """Store what the agent observes and answer its goal.

    At once when it is not the one the agent knows, else after `wait_s` at most.
    """
    try:
        report = read_shape(request, AgentReport, SYNC_BODY_MAX_BYTES)
    except DomainError as error:
        return error_response(error, request)
    with notifier().listening(*GOAL_TOPICS) as news:
        goal: AgentGoal = await _in_thread(_reported)(agent, report)
        if goal.goal == report.goal:
            goal = await _wait_for_goal(news, agent, goal, report.wait_s)
    return answer_shape(goal)


async def _wait_for_tables(news: Listener, gateway: str, report: PollReport) -> None:
    """Return when a table differs from what the gateway has, or after `wait_s`; meanwhile say that the gateway
    lives.
    """
    ends = time.monotonic() + min(report.wait_s, WAIT_MAX_S)
    while (left := ends - time.monotonic()) > 0:
        if await news.wait(min(left, limits.GATEWAY_TOUCH_S)):
            if await read_once(("routes", notifier().turn), newest_revisions) != report.known:
                return
        elif left > limits.GATEWAY_TOUCH_S:
            await _in_thread(gateway_touch)(gateway=gateway, boot=report.boot, now=clock.now())


async def _wait_for_goal(news: Listener, agent: str, known: AgentGoal, wait_s: float) -> AgentGoal:
    """Another goal than the known one as soon as there is one, the known one after `wait_s`."""
    ends = time.monotonic() + min(wait_s, WAIT_MAX_S)
    while (left := ends - time.monotonic()) > 0:
        if await news.wait(left):
            goal: AgentGoal = await _in_thread(_goal)(agent)
            if goal.goal != known.goal:
                return goal
    return known


def _answer(known: dict[str, int]) -> PollAnswer:
    return PollAnswer(newer_tables(known), environment_names())


def _reported(agent: str, report: AgentReport) -> AgentGoal:
    return goal_of(agent_report(agent=agent, report=report, now=clock.now()))


def _goal(agent: str) -> AgentGoal:
    return goal_of(agent_goal(agent=agent, now=clock.now()))


def _in_thread(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    return sync_to_async(function, thread_sensitive=True)
