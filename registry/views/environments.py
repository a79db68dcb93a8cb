"""Pages of environments: the lines of the policy in force, and the drafts of what is to follow."""

from django.http import HttpRequest, HttpResponse

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib import clock
from mlorch_site.lib.htmx import redirect_to, render_page
from mlorch_site.lib.instant import past_url
from mlorch_site.lib.lists import listed
from registry.approvals.electorate import rules_warning
from registry.draft_access import drafts_visible_to
from registry.lifecycle import WAITING_STAGES
from registry.models import Environment, Policy
from registry.policy_sentences import policy_sections
from registry.sandbox_warning import warning_about
from registry.selectors import (
    current_policy,
    environment_for,
    environments_visible_to,
    environments_with_policy,
    environments_without_sandbox,
    policies_in_force,
    why_closed,
)
from registry.services.environments import policy_values


@requires(Action.VIEW)
def environments(request: HttpRequest) -> HttpResponse:
    """List environments with the policy in force."""
    rows = environments_with_policy(environments_visible_to(actor_of(request)))
    return render_page(request, "registry/environments.html", "registry/_environments.html", listed(request, rows))


@requires(Action.VIEW)
def environment(request: HttpRequest, name: str) -> HttpResponse:
    """Show an environment: the lines of its policy, and the drafts that wait; with `at`, as it was."""
    actor = actor_of(request)
    found = environment_for(actor, name)
    if "at" in request.GET:
        return redirect_to(request, past_url(request, "environment-past", name))
    policy = current_policy(found)
    context = {
        "environment": found,
        "policy": policy,
        "sections": policy_sections(policy_values(policy)),
        "lines": policies_in_force(found),
        "drafts": drafts_visible_to(actor).filter(environment=found, stage__in=WAITING_STAGES),
        "warnings": _warnings(found, policy),
        "why_not_write": actor.why_not(Action.POLICY_EDIT, [found.scope]),
    }
    return render_page(request, "registry/environment.html", "registry/_environment.html", context)


def _warnings(environment: Environment, policy: Policy) -> list[str]:
    is_open = environment in environments_without_sandbox()
    unprotected = warning_about(environment) if is_open else ""
    said = (why_closed(environment, clock.now()), rules_warning(environment, policy), unprotected)
    return [sentence for sentence in said if sentence]
