"""How mlorch itself is: processes, gateways, agents, MLflow."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from dataplane.wire.sandbox import LEVELS
from deployments.models import AgentState, GatewayState
from deployments.processes.gateway_status import gateway_processes
from deployments.selectors import replica_states_visible_to
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.audit.copy_delivery import copy_standings
from mlorch_site.lib import clock
from mlorch_site.lib.htmx import render_page
from mlorch_site.notices.selectors import sending_problems
from registry.models import Environment
from registry.sandbox_warning import warning_about
from registry.selectors import backend_state, environments_visible_to, environments_without_sandbox, store_summary

OFFERS = LEVELS[1:]  # all but none


def supervised() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What the supervisor of this machine last wrote of its processes, and of the user they run as; empty when there is
    none.
    """
    try:
        known = json.loads((settings.DATA_DIR / "run" / "processes.json").read_text())
        rows, rights = known["processes"], known.get("rights", {})
    except (OSError, ValueError, KeyError):
        return [], {}
    for row in rows:
        row["since"] = clock.from_unix(row["started_at"]) if row.get("started_at") else None
    return list(rows), rights


@dataclass(frozen=True)
class Unsandboxed:
    """An environment that accepts models without a sandbox though agents offer one. `url` leads to where its policy is
    revised, for whoever may.
    """

    environment: Environment
    sentence: str
    url: str


def unsandboxed(actor: Actor, agents: Iterable[AgentState]) -> list[Unsandboxed]:
    """What an installation whose policies are older than sandboxes should change (reads the database)."""
    levels = {agent.agent: agent.sandbox.partition(":")[0] for agent in agents}
    offers = [f"{name} offers {level}" for name, level in levels.items() if level in OFFERS]
    seen = set(environments_visible_to(actor).values_list("pk", flat=True)) if offers else set()
    policies = reverse("admin:registry_policy_changelist") if actor.may(Action.POLICY_EDIT) else ""
    return [
        Unsandboxed(
            one,
            f"{warning_about(one)} {', '.join(offers)}.",
            policies and f"{policies}?environment__id__exact={one.pk}",
        )
        for one in environments_without_sandbox()
        if one.pk in seen
    ]


@requires(Action.VIEW)
def system(request: HttpRequest) -> HttpResponse:
    """Show the health of every part."""
    actor = actor_of(request)
    agents = list(AgentState.objects.order_by("agent"))
    processes, rights = supervised()
    context = {
        "unsandboxed": unsandboxed(actor, agents),
        "processes": processes,
        "rights": rights,
        "copies": copy_standings() if actor.may(Action.AUDIT_VIEW) else [],
        "gateways": GatewayState.objects.order_by("-last_seen_at")[:50],
        "agents": agents,
        "replicas": replica_states_visible_to(actor).order_by("-reported_at")[:100],
        "backend": backend_state(),
        "store": store_summary(),
        "now": clock.now(),
        "problems": sending_problems(actor) if actor.may_anywhere(Action.NOTICE_MANAGE) else None,
    }
    return render(request, "deployments/system.html", context)


@requires(Action.VIEW)
def gateways(request: HttpRequest) -> HttpResponse:
    """Show each gateway process: the routes it obeys, its connection to the site, what it dropped."""
    context = {"processes": gateway_processes(clock.now(), environments_visible_to(actor_of(request)))}
    return render_page(request, "deployments/gateways.html", "deployments/_gateways.html", context)
