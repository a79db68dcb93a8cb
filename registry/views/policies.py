"""Pages of policies for everybody who sees the environment: what is in force, and each revision in sentences."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.htmx import render_page
from mlorch_site.lib.lists import listed
from registry.approvals.electorate import rules_warning
from registry.approvals.selectors import approvals_visible_to
from registry.counting_windows import windows_under
from registry.draft_access import drafts_visible_to
from registry.filters import PolicyFilter
from registry.lifecycle import WAITING_STAGES
from registry.models import Policy
from registry.policy_comparison import PolicyDifference, compare_policies
from registry.policy_document import write_document
from registry.policy_fields import POLICY_FIELDS
from registry.policy_lines import PolicyLine, line_of, title_of
from registry.policy_sentences import policy_sections
from registry.selectors import (
    following_policy,
    former_policy,
    policies_in_force,
    policies_visible_to,
    policy_revision_for,
    revisions_of,
)
from registry.services.environments import policy_values
from registry.window_calendar import month_calendar, month_of

SAID_FIELDS = tuple(field for field in POLICY_FIELDS if field != "note")
REVISIONS_SHOWN = 50


@requires(Action.VIEW)
def policies(request: HttpRequest) -> HttpResponse:
    """List the revisions of policies, those in force unless others are asked for."""
    actor = actor_of(request)
    context = listed(request, policies_visible_to(actor), PolicyFilter)
    context |= {
        "drafts": drafts_visible_to(actor).filter(stage__in=WAITING_STAGES),
        "why_not_write": "" if actor.may_anywhere(Action.POLICY_EDIT) else actor.why_not(Action.POLICY_EDIT),
    }
    return render_page(request, "registry/policies.html", "registry/_policies.html", context)


@requires(Action.VIEW)
def policy(request: HttpRequest, environment: str, revision: int) -> HttpResponse:
    """Show a revision: what it says, who wrote and published it, from when until when, and what came under it."""
    actor = actor_of(request)
    found = policy_revision_for(actor, environment, revision)
    former = former_policy(found)
    lines = [] if found.retired_at else policies_in_force(found.environment)
    under = approvals_visible_to(actor).filter(policy=found).order_by().values("status").annotate(number=Count("pk"))
    context: dict[str, Any] = {
        "policy": found,
        "title": title_of(found),
        "line": line_of(found),
        "sections": policy_sections(policy_values(found)),
        "former": former,
        "following": following_policy(found),
        "differences": differences(former, found),
        "warning": "" if found.retired_at else rules_warning(found.environment, found),
        "under": {row["status"]: row["number"] for row in under},
        "why_not_write": actor.why_not(Action.POLICY_EDIT, [found.environment.scope]),
        "calendar": month_calendar(
            windows_under(found.windows, lines, line_of(found)),
            month_of(request.GET.get("month", ""), timezone.localdate()),
            timezone.get_current_timezone(),
        ),
        "revisions": revisions_of(line_of(found))[:REVISIONS_SHOWN],
    }
    return render(request, "registry/policy.html", context)


def differences(before: Policy | None, after: Policy) -> list[PolicyDifference]:
    """What a revision changed of the one before it, in words; nothing for the first."""
    return compare_policies(policy_values(before), policy_values(after), SAID_FIELDS) if before else []


@requires(Action.VIEW)
def policy_document(request: HttpRequest, environment: str, revision: int) -> HttpResponse:
    """A revision as a YAML document."""
    found = policy_revision_for(actor_of(request), environment, revision)
    name = f"{found.environment.name}-{found.revision}"
    return document_answer(line_of(found), policy_values(found), found.note, title_of(found), name)


def document_answer(line: PolicyLine, values: Mapping[str, Any], note: str, title: str, name: str) -> HttpResponse:
    """A text of a policy as a file to keep."""
    model = line.model.name if line.model else ""
    text = write_document(
        environment=line.environment.name, model=model, tier=line.tier, note=note, values=values, title=title
    )
    answer = HttpResponse(text, content_type="application/yaml; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="policy-{name}.yaml"'
    return answer
