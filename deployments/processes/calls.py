"""Routes for gateway and agent: long polls for route tables and for replicas (docs/wire.md sections 3 and 5).

Whoever waits is woken by news of what it waits for (`mlorch_site.live.bell`); between news it costs nothing.
"""

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_POST

from deployments import limits
from deployments.journal import GOAL_TOPIC
from deployments.models import Replica
from deployments.platforms.local import goals_of
from deployments.processes.agents import agent_goal, agent_report
from deployments.processes.gateways import environment_names, gateway_report, gateway_touch, newer_tables
from deployments.routes.publish import ROUTES_TOPIC
from deployments.routes.revisions import newest_revisions
from mlorch_site.accounts.access import control_only
from mlorch_site.lib import clock
from mlorch_site.lib.errors import DomainError, Invalid, TooLarge
from mlorch_site.lib.hashing import content_hash
from mlorch_site.lib.http import error_response
from mlorch_site.live.bell import Listener, bell
from mlorch_site.live.shared import read_once

GOAL_TOPICS = (GOAL_TOPIC, "registry")  # also artifacts that have come: a replica without them is no goal yet


def read_object(request: HttpRequest) -> dict[str, Any]:
    """Return the request's JSON object. Raises TooLarge or Invalid."""
    if int(request.headers.get("Content-Length") or 0) > limits.POLL_BODY_MAX_BYTES:
        raise TooLarge(f"A report has {limits.POLL_BODY_MAX_BYTES} bytes at most.")
    try:
        body = json.loads(request.body)
    except ValueError as error:
        raise Invalid("The body is not JSON.") from error
    if not isinstance(body, dict):
        raise Invalid("The body must be a JSON object.")
    return body


@control_only
@require_POST
async def gateway_poll(request: HttpRequest, gateway: str) -> JsonResponse:
    """Store the gateway's report; answer at once with newer tables, or when there are some, or after `wait_s`."""
    try:
        report = read_object(request)
        await _in_thread(_gateway_report)(gateway, report)
    except DomainError as error:
        return error_response(error, request)
    have = _known(report)
    boot = str(report["boot"])
    with bell().listening(ROUTES_TOPIC) as news:
        if await _in_thread(newest_revisions)() == have:
            await _wait_for_tables(news, gateway, boot, have, _wait_s(report))
    return JsonResponse(await _in_thread(_tables)(have))


@control_only
@require_POST
async def agent_sync(request: HttpRequest, agent: str) -> JsonResponse:
    """Store what the agent observes and answer its goal: at once when it is not the one the agent knows, else after `wait_s` at most."""
    try:
        report = read_object(request)
        with bell().listening(*GOAL_TOPICS) as news:
            answer = await _in_thread(_reported)(agent, report)
            if answer["goal"] == report.get("goal"):
                answer = await _wait_for_goal(news, agent, answer, _wait_s(report))
    except DomainError as error:
        return error_response(error, request)
    return JsonResponse(answer)


def _known(report: dict[str, Any]) -> dict[str, int]:
    """Return environment → the revision the gateway needs no more of: what it obeys, or the newer one it refused."""
    refused = {name: row["revision"] for name, row in report.get("refused", {}).items() if "revision" in row}
    return {**report.get("have", {}), **refused}


def _wait_s(report: dict[str, Any]) -> float:
    wanted = report.get("wait_s", 0)
    return min(max(float(wanted), 0.0), limits.POLL_MAX_S) if isinstance(wanted, int | float) else 0.0


async def _wait_for_tables(news: Listener, gateway: str, boot: str, have: dict[str, int], wait_s: float) -> None:
    """Return when a table differs from what the gateway has, or after `wait_s`; meanwhile say that the gateway lives."""
    ends = time.monotonic() + wait_s
    while (left := ends - time.monotonic()) > 0:
        if await news.wait(min(left, limits.GATEWAY_TOUCH_S)):
            if await read_once(("routes", bell().turn), newest_revisions) != have:
                return
        elif left > limits.GATEWAY_TOUCH_S:
            await _in_thread(gateway_touch)(gateway=gateway, boot=boot, now=clock.now())


async def _wait_for_goal(news: Listener, agent: str, known: dict[str, Any], wait_s: float) -> dict[str, Any]:
    """Return another goal than the known one as soon as there is one, the known one after `wait_s`."""
    ends = time.monotonic() + wait_s
    while (left := ends - time.monotonic()) > 0:
        if await news.wait(left):
            answer: dict[str, Any] = await _in_thread(_goal)(agent)
            if answer["goal"] != known["goal"]:
                return answer
    return known


def _gateway_report(gateway: str, report: dict[str, Any]) -> None:
    gateway_report(gateway=gateway, report=report, now=clock.now())


def _tables(have: dict[str, int]) -> dict[str, Any]:
    return {"tables": newer_tables(have), "environments": environment_names()}


def _reported(agent: str, report: dict[str, Any]) -> dict[str, Any]:
    return _named(agent_report(agent=agent, report=report, now=clock.now()))


def _goal(agent: str) -> dict[str, Any]:
    return _named(agent_goal(agent=agent, now=clock.now()))


def _named(replicas: list[Replica]) -> dict[str, Any]:
    """Return a whole goal, and a name for it by which the agent says that it knows it."""
    goals = goals_of(replicas)
    return {"replicas": goals, "goal": content_hash(goals)}


def _in_thread(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    return sync_to_async(function, thread_sensitive=True)
