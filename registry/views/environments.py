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
from registry.change_windows import closure_at
from registry.counting_windows import counting_windows
from registry.draft_access import drafts_visible_to
from registry.lifecycle import WAITING_STAGES
from registry.models import Environment, Policy
from registry.policy_lines import line_of, subject_of
from registry.policy_sentences import policy_sections
from registry.sandbox_warning import warning_about
from registry.selectors import (
    current_policy,
    environment_for,
    environments_visible_to,
    environments_with_policy,
    environments_without_sandbox,
    policies_in_force,
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
    policy, lines = current_policy(found), policies_in_force(found)
    context = {
        "environment": found,
        "policy": policy,
        "sections": policy_sections(policy_values(policy)),
        "lines": lines,
        "drafts": drafts_visible_to(actor).filter(environment=found, stage__in=WAITING_STAGES),
        "warnings": _warnings(found, policy, lines),
        "why_not_write": actor.why_not(Action.POLICY_EDIT, [found.scope]),
    }
    return render_page(request, "registry/environment.html", "registry/_environment.html", context)


def _warnings(environment: Environment, policy: Policy, lines: list[Policy]) -> list[str]:
    is_open = environment in environments_without_sandbox()
    unprotected = warning_about(environment) if is_open else ""
    said = (*_closures(lines), rules_warning(environment, policy), unprotected)
    return [sentence for sentence in said if sentence]


def _closures(lines: list[Policy]) -> list[str]:
    """What closes the environment now, and the models of more specific lines where that is something else."""
    said: dict[str, str] = {}
    for policy in lines:
        line = line_of(policy)
        closure = closure_at(counting_windows(lines, *subject_of(line)), clock.now())
        if closure is not None and closure.sentence not in said:
            whose = "" if line.is_whole else f"For {line.words.removeprefix(f'{line.environment} for ')}: "
            said[closure.sentence] = whose
    return [f"{whose}{sentence}" for sentence, whose in said.items()]
