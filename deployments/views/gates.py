"""The page of one gate of a release: what it found, run it again, waive it."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from deployments import selectors, services
from deployments.gate_cases import case_of
from deployments.gate_lines import GateLine, gate_lines
from deployments.models import Release
from deployments.services.gates import waiver_for, why_gates_rest
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid, NotFound
from mlorch_site.lib.htmx import redirect_to, render_page
from mlorch_site.lib.http import status_of
from mlorch_site.lib.readable import whole_number
from mlorch_site.lib.refusals import note_refused
from registry.gates import GATES
from registry.waivers import why_cannot_waive, why_not_waivable


def _line(release: Release, gate: str) -> GateLine:
    found = next((line for line in gate_lines(release, clock.now()) if line.gate == gate), None)
    if found is None:
        raise NotFound(f"The gate {gate[:40]!r} does not run for this release.")
    return found


def _context(actor: Actor, release: Release, gate: str) -> dict[str, Any]:
    line, rest = _line(release, gate), why_gates_rest(release)
    case = case_of(release)
    unasked = "" if line.row.is_ended else "The gate has not answered yet; it is asked already."
    parameters = GATES[gate].settings(release.policy) if gate in GATES else {}
    cannot = why_cannot_waive(actor, case)
    return {
        "release": release,
        "line": line,
        "parameters": [(name, value, GATES[gate].parameters[name]) for name, value in parameters.items()],
        "why_not_run": actor.why_not(Action.GATE_RUN, release.scopes) or rest or unasked,
        "why_not_waive": rest or why_not_waivable(line.row) or ("It is waived already." if line.is_waived else cannot),
        "days_max": case.policy.waiver_days_max,
        "own": actor.user.pk if actor.user and not actor.only_reads else None,
        "may_withdraw": not cannot,
        "problems": {},
        "said": {},
    }


@requires(Action.VIEW)
def release_gate(request: HttpRequest, pk: str, gate: str) -> HttpResponse:
    """Show what one gate found about a release, and what was waived of it."""
    actor = actor_of(request)
    context = _context(actor, selectors.release_for(actor, pk), gate)
    return render_page(request, "deployments/gate.html", "deployments/_gate_live.html", context)


def _refused(request: HttpRequest, pk: str, gate: str, form: str, error: Any) -> HttpResponse:
    """The page again with what was written, and the error at its field."""
    if isinstance(error, Forbidden):
        note_refused(request, error)
    actor = actor_of(request)
    problems = dict(error.details) if isinstance(error, Invalid) else {}
    context = _context(actor, selectors.release_for(actor, pk), gate)
    context |= {"problems": {form: {"": "" if problems else error.message, **problems}}, "said": {form: request.POST}}
    return render(request, "deployments/gate.html", context, status=status_of(error))


@requires(Action.GATE_RUN)
@require_POST
def release_gate_run(request: HttpRequest, pk: str, gate: str) -> HttpResponse:
    """Let the gate answer again."""
    actor = actor_of(request)
    release = selectors.release_for(actor, pk, action=Action.GATE_RUN)
    try:
        services.gate_run_again(actor=actor, release=release, gate=gate, reason=request.POST.get("reason", ""))
    except (Invalid, Conflict) as error:
        return _refused(request, pk, gate, "run", error)
    messages.success(request, "The gate answers again.")
    return redirect_to(request, reverse("release-gate", args=[pk, gate]))


@requires(Action.GATE_WAIVE)
@require_POST
def release_gate_waive(request: HttpRequest, pk: str, gate: str) -> HttpResponse:
    """Waive what the gate found."""
    actor = actor_of(request)
    release = selectors.release_for(actor, pk, action=Action.GATE_WAIVE)
    said = request.POST
    try:
        services.gate_waive(
            actor=actor,
            release=release,
            gate=gate,
            finding=said.get("finding", ""),
            reason=said.get("reason", ""),
            days=whole_number(said.get("days", "")) or 0,
        )
    except (Invalid, Conflict, Forbidden) as error:
        return _refused(request, pk, gate, "waive", error)
    messages.success(request, "The finding is waived.")
    return redirect_to(request, reverse("release-gate", args=[pk, gate]))


@requires(Action.GATE_WAIVE)
@require_POST
def release_waiver_withdraw(request: HttpRequest, pk: str, waiver: str) -> HttpResponse:
    """Take a waiver back."""
    actor = actor_of(request)
    release = selectors.release_for(actor, pk, action=Action.GATE_WAIVE)
    found = waiver_for(release, waiver)
    try:
        services.waiver_take_back(actor=actor, release=release, waiver=found, reason=request.POST.get("reason", ""))
    except (Invalid, Conflict, Forbidden) as error:
        return _refused(request, pk, found.gate, "withdraw", error)
    messages.success(request, "The waiver is withdrawn.")
    return redirect_to(request, reverse("release-gate", args=[pk, found.gate]))
