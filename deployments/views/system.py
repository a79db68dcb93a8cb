"""How mlorch itself is: processes, gateways, agents, MLflow."""

import json
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from deployments.models import AgentState, GatewayState
from deployments.processes.gateway_status import gateway_processes
from deployments.selectors import replica_states_visible_to
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.audit.copy_delivery import copy_standings
from mlorch_site.lib import clock
from mlorch_site.lib.htmx import render_page
from registry.selectors import backend_state, environments_visible_to, store_summary


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


@requires(Action.VIEW)
def system(request: HttpRequest) -> HttpResponse:
    """Show the health of every part."""
    actor = actor_of(request)
    processes, rights = supervised()
    context = {
        "processes": processes,
        "rights": rights,
        "copies": copy_standings() if actor.may(Action.AUDIT_VIEW) else [],
        "gateways": GatewayState.objects.order_by("-last_seen_at")[:50],
        "agents": AgentState.objects.order_by("agent"),
        "replicas": replica_states_visible_to(actor).order_by("-reported_at")[:100],
        "backend": backend_state(),
        "store": store_summary(),
        "now": clock.now(),
    }
    return render(request, "deployments/system.html", context)


@requires(Action.VIEW)
def gateways(request: HttpRequest) -> HttpResponse:
    """Show each gateway process: the routes it obeys, its connection to the site, what it dropped."""
    context = {"processes": gateway_processes(clock.now(), environments_visible_to(actor_of(request)))}
    return render_page(request, "deployments/gateways.html", "deployments/_gateways.html", context)
