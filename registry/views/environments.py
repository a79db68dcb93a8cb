"""Pages of environments: the policy in force, and what waits for a second administrator."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from mlorch_site.lib.htmx import redirect_to, render_page
from mlorch_site.lib.instant import past_url
from mlorch_site.lib.lists import listed
from mlorch_site.lib.refusals import note_refused
from registry import services
from registry.approvals.electorate import rules_warning
from registry.models import Environment, Policy, PolicyProposal
from registry.policy_comparison import PolicyDifference, compare_policies
from registry.policy_fields import POLICY_FIELDS
from registry.policy_sentences import policy_sections
from registry.sandbox_warning import warning_about
from registry.selectors import (
    current_policy,
    environment_for,
    environments_visible_to,
    environments_with_policy,
    environments_without_sandbox,
    open_proposal,
    policies_in_force,
    proposal_for,
    why_cannot_confirm,
    why_cannot_withdraw,
    why_closed,
)
from registry.services.environments import policy_values

HOW = ("confirm", "refuse", "withdraw")
ENDED_SHOWN = 10


@requires(Action.VIEW)
def environments(request: HttpRequest) -> HttpResponse:
    """List environments with the policy in force."""
    rows = environments_with_policy(environments_visible_to(actor_of(request)))
    return render_page(request, "registry/environments.html", "registry/_environments.html", listed(request, rows))


@requires(Action.VIEW)
def environment(request: HttpRequest, name: str) -> HttpResponse:
    """Show an environment: policy, what waits for a second administrator, what was decided; with `at`, as it was."""
    actor = actor_of(request)
    found = environment_for(actor, name)
    if "at" in request.GET:
        return redirect_to(request, past_url(request, "environment-past", name))
    policy = current_policy(found)
    waiting = open_proposal(found)
    context = {
        "environment": found,
        "policy": policy,
        "sections": policy_sections(policy_values(policy)),
        "lines": policies_in_force(found),
        "warnings": _warnings(found, policy),
        "proposal": waiting,
        "ended": found.proposals.exclude(status="open").select_related("base", "proposer", "made")[:ENDED_SHOWN],
        "may_edit": actor.user is not None and actor.user.is_staff and actor.may(Action.POLICY_EDIT),
    }
    context |= _about(actor, waiting) if waiting else {}
    return render_page(request, "registry/environment.html", "registry/_environment.html", context)


def _warnings(environment: Environment, policy: Policy) -> list[str]:
    is_open = environment in environments_without_sandbox()
    unprotected = warning_about(environment) if is_open else ""
    said = (why_closed(environment, clock.now()), rules_warning(environment, policy), unprotected)
    return [sentence for sentence in said if sentence]


def _about(actor: Actor, proposal: PolicyProposal) -> dict[str, str | list[PolicyDifference]]:
    """What a proposal changes, and why this actor may not decide on it."""
    return {
        "differences": compare_policies(policy_values(proposal.base), proposal.values, POLICY_FIELDS),
        "why_not_confirm": why_cannot_confirm(actor, proposal),
        "why_not_refuse": why_cannot_confirm(actor, proposal, refusing=True),
        "why_not_withdraw": why_cannot_withdraw(actor, proposal),
    }


@requires(Action.POLICY_EDIT)
@require_POST
def proposal_decide(request: HttpRequest, name: str, pk: UUID) -> HttpResponse:
    """Confirm, refuse or withdraw a proposal."""
    actor = actor_of(request)
    proposal = proposal_for(actor, name, pk)
    try:
        messages.success(request, _decide(actor, proposal, request.POST.get("how", ""), request.POST.get("reason", "")))
    except Forbidden as error:
        note_refused(request, error)
        messages.error(request, error.message)
    except (Invalid, Conflict) as error:
        messages.error(request, error.message)
    return redirect_to(request, reverse("environment", args=[name]))


def _decide(actor: Actor, proposal: PolicyProposal, how: str, reason: str) -> str:
    """Do it, and say what came of it. Raises what the services raise."""
    if how not in HOW:
        raise Invalid(f"A proposal is decided by {', '.join(HOW)}.")
    if how == "confirm":
        policy = services.proposal_confirm(actor=actor, proposal=proposal)
        return f"Revision {policy.revision} is in force."
    if how == "refuse":
        services.proposal_refuse(actor=actor, proposal=proposal, reason=reason)
        return "The proposal is refused; the policy stays as it is."
    services.proposal_withdraw(actor=actor, proposal=proposal)
    return "The proposal is withdrawn; the policy stays as it is."
