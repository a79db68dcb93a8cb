"""The people who could approve in an environment, and whether its approval rules can be met by them (reads the
database).
"""

from collections.abc import Collection
from typing import Any

from django.db.models import Q

from mlorch_site.accounts.models import RoleBinding
from mlorch_site.accounts.roles import EVERYWHERE
from mlorch_site.lib import clock
from registry.approvals.rules import is_barely_met, why_nobody_can
from registry.approvals.selectors import approval_progress, approving_decisions
from registry.models import ApprovalRequest, Environment, Policy
from registry.policy_lines import line_of

MODEL_SCOPES = "model:"

type_Rules = list[dict[str, Any]]


def people_in(environment: Environment, *, of_models: bool = False) -> dict[str, set[str]]:
    """Active person → roles that count in the environment, whatever the model; with `of_models` also roles for single
    models.
    """
    scopes = Q(scope__in=[EVERYWHERE, environment.scope])
    if of_models:
        scopes |= Q(scope__startswith=MODEL_SCOPES)
    people: dict[str, set[str]] = {}
    held = RoleBinding.objects.in_force(clock.now()).filter(scopes, user__is_active=True)
    for name, role in held.values_list("user__username", "role"):
        people.setdefault(name, set()).add(role)
    return people


def why_unmeetable(environment: Environment, rules: "type_Rules") -> str:
    """Why nobody at all can meet the rules in the environment, for no model; empty when somebody can."""
    return why_nobody_can(rules, people_in(environment, of_models=True))


def why_doubtful(environment: Environment, rules: "type_Rules") -> str:
    """What a reader should know of rules that can only just be met; empty when there are enough people."""
    people = people_in(environment)
    if reason := why_nobody_can(rules, people):
        return f"Only releases of models with people of their own can be approved: {reason}."
    if is_barely_met(rules, people):
        return (
            "The approval rules can only just be met: who asks for a release may not approve it, so nothing can be "
            "approved when one of those who have to approve asks for it, or is away."
        )
    return ""


def rules_warning(environment: Environment, policy: Policy) -> str:
    """What is wrong with who could approve under a policy, as one sentence; empty when nothing is."""
    if reason := why_unmeetable(environment, policy.approval_rules):
        return f"Nobody can approve a release to {environment}: {reason}."
    return why_doubtful(environment, policy.approval_rules)


def unmeetable_rules() -> list[str]:
    """A sentence for each line of policy in force that has approval rules that nobody can meet."""
    lines = Policy.objects.in_force().select_related("environment", "model").order_by("environment", "revision")
    found = []
    for policy in lines:
        if policy.approval_rules and (reason := why_unmeetable(policy.environment, policy.approval_rules)):
            found.append(f"Nobody can approve a release to {line_of(policy).words} any more: {reason}.")
    return found


def who_may_decide(request: ApprovalRequest) -> dict[str, list[str]]:
    """Role that is still asked for → the people who hold it there and may still approve, by name."""
    lacking = {rule.role for rule in approval_progress(request).rules if not rule.met}
    done = {decision.person_id for decision in approving_decisions(request)}
    return _holders(lacking, request.scopes, {request.requester_id, *request.excluded, *done})


def who_could_decide(rules: "type_Rules", scopes: list[str], excluded: Collection[int]) -> dict[str, list[str]]:
    """Role that `rules` ask for → the people who hold it in `scopes`, without those who may not, by name."""
    return _holders({str(rule["role"]) for rule in rules}, scopes, excluded)


def _holders(roles: Collection[str], scopes: list[str], excluded: Collection[int]) -> dict[str, list[str]]:
    held = RoleBinding.objects.in_force(clock.now()).filter(role__in=roles, scope__in=[EVERYWHERE, *scopes])
    rows = held.filter(user__is_active=True).exclude(user__in=excluded).values_list("role", "user__username")
    found: dict[str, set[str]] = {role: set() for role in roles}
    for role, name in rows:
        found[role].add(name)
    return {role: sorted(names) for role, names in found.items()}
