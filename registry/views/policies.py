"""Pages of policies for everybody who sees the environment: what is in force, and each revision in sentences."""

from typing import Any

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.htmx import render_page
from mlorch_site.lib.lists import listed
from registry.approvals.selectors import approvals_visible_to
from registry.filters import PolicyFilter
from registry.models import Policy
from registry.policy_comparison import PolicyDifference, compare_policies
from registry.policy_fields import POLICY_FIELDS
from registry.policy_lines import line_of, title_of
from registry.policy_sentences import policy_sections
from registry.selectors import following_policy, former_policy, policies_visible_to, policy_revision_for, revisions_of
from registry.services.environments import policy_values

SAID_FIELDS = tuple(field for field in POLICY_FIELDS if field != "note")
REVISIONS_SHOWN = 50


@requires(Action.VIEW)
def policies(request: HttpRequest) -> HttpResponse:
    """List the revisions of policies, those in force unless others are asked for."""
    actor = actor_of(request)
    context = listed(request, policies_visible_to(actor), PolicyFilter)
    return render_page(request, "registry/policies.html", "registry/_policies.html", context)


@requires(Action.VIEW)
def policy(request: HttpRequest, environment: str, revision: int) -> HttpResponse:
    """Show a revision: what it says, who wrote and published it, from when until when, and what came under it."""
    actor = actor_of(request)
    found = policy_revision_for(actor, environment, revision)
    former = former_policy(found)
    under = approvals_visible_to(actor).filter(policy=found).order_by().values("status").annotate(number=Count("pk"))
    context: dict[str, Any] = {
        "policy": found,
        "title": title_of(found),
        "line": line_of(found),
        "sections": policy_sections(policy_values(found)),
        "former": former,
        "following": following_policy(found),
        "differences": differences(former, found),
        "under": {row["status"]: row["number"] for row in under},
        "revisions": revisions_of(line_of(found))[:REVISIONS_SHOWN],
    }
    return render(request, "registry/policy.html", context)


def differences(before: Policy | None, after: Policy) -> list[PolicyDifference]:
    """What a revision changed of the one before it, in words; nothing for the first."""
    return compare_policies(policy_values(before), policy_values(after), SAID_FIELDS) if before else []
