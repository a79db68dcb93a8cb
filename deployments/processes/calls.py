"""Routes for gateway and agent: long poll for route tables, sync of replicas (docs/wire.md sections 3 and 5)."""

import asyncio
import json
import time
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_POST

from deployments import limits
from deployments.platforms.local import goals_of
from deployments.processes.agents import agent_report
from deployments.processes.gateways import environment_names, gateway_report, gateway_touch, newer_tables
from deployments.routes.revisions import newest_revisions
from mlorch_site.accounts.access import control_only
from mlorch_site.lib import clock
from mlorch_site.lib.errors import DomainError, Invalid, TooLarge
from mlorch_site.lib.http import error_response


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
        await _in_thread(_report)(gateway, report)
    except DomainError as error:
        return error_response(error, request)
    have = _known(report)
    wait_s = _wait_s(report)
    await _wait_for_news(gateway, str(report["boot"]), have, wait_s)
    return JsonResponse(await _in_thread(_answer)(have))


@control_only
@require_POST
def agent_sync(request: HttpRequest, agent: str) -> JsonResponse:
    """Store what the agent observes and answer its goal."""
    replicas = agent_report(agent=agent, report=read_object(request), now=clock.now())
    return JsonResponse({"replicas": goals_of(replicas)})


def _known(report: dict[str, Any]) -> dict[str, int]:
    """Return environment → the revision the gateway needs no more of: what it obeys, or the newer one it refused."""
    refused = {name: row["revision"] for name, row in report.get("refused", {}).items() if "revision" in row}
    return {**report.get("have", {}), **refused}


def _wait_s(report: dict[str, Any]) -> float:
    wanted = report.get("wait_s", 0)
    return min(max(float(wanted), 0.0), limits.GATEWAY_POLL_MAX_S) if isinstance(wanted, int | float) else 0.0


async def _wait_for_news(gateway: str, boot: str, have: dict[str, int], wait_s: float) -> None:
    """Return when a table differs from what the gateway has, or after `wait_s`; meanwhile say that the gateway lives."""
    began = touched = time.monotonic()
    while time.monotonic() - began < wait_s:
        if await sync_to_async(newest_revisions)() != have:
            return
        if time.monotonic() - touched > limits.GATEWAY_TOUCH_S:
            touched = time.monotonic()
            await _in_thread(gateway_touch)(gateway=gateway, boot=boot, now=clock.now())
        await asyncio.sleep(limits.GATEWAY_POLL_LOOK_S)


def _report(gateway: str, report: dict[str, Any]) -> None:
    gateway_report(gateway=gateway, report=report, now=clock.now())


def _answer(have: dict[str, int]) -> dict[str, Any]:
    return {"tables": newer_tables(have), "environments": environment_names()}


def _in_thread(function: Any) -> Any:
    return sync_to_async(function, thread_sensitive=True)
