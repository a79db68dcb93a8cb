"""The people who can meet each approval rule of a line of a policy (reads the database)."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import RoleBinding
from mlorch_site.accounts.roles import EVERYWHERE, Action, roles_that_allow
from mlorch_site.lib import clock
from registry.approvals.electorate import people_in, why_unmeetable
from registry.approvals.rules import why_nobody_can
from registry.models import Environment, Policy
from registry.policy_lines import PolicyLine
from registry.policy_sentences import rule_words

type_Rules = list[dict[str, Any]]


@dataclass(frozen=True)
class RuleHolders:
    """One rule in words, and who can meet it, by name."""

    words: str
    names: list[str]
    is_enough: bool


def holders_of(line: PolicyLine, rules: "type_Rules") -> list[RuleHolders]:
    """Rule by rule, who can meet it."""
    people = _people(line)
    found = []
    for rule in rules:
        names = sorted(name for name, held in people.items() if _key(rule) in held)
        found.append(RuleHolders(rule_words(rule), names, len(names) >= int(rule["count"])))
    return found


def _key(rule: dict[str, Any]) -> str:
    """What a person has to hold for a rule: a role, or membership in a group."""
    return f"group:{rule['group']}" if "group" in rule else str(rule["role"])


def _people(line: PolicyLine) -> dict[str, set[str]]:
    """Active person → what they hold where the line rules: in the environment, and for its model."""
    people = people_in(line.environment)
    if line.model is not None:
        held = RoleBinding.objects.in_force(clock.now()).filter(scope=line.model.scope, user__is_active=True)
        for name, role in held.values_list("user__username", "role"):
            people.setdefault(name, set()).add(role)
    return people


def why_line_unmeetable(line: PolicyLine, rules: "type_Rules") -> str:
    """Why nobody can meet the rules where the line rules; empty when somebody can."""
    if line.model is not None:
        return why_nobody_can(rules, _people(line))
    return why_unmeetable(line.environment, rules)


def publishers_of(environment: Environment, without: Collection[int]) -> list[str]:
    """Who may publish a policy of an environment, besides some, by name."""
    roles = [role.value for role in roles_that_allow(Action.POLICY_EDIT)]
    held = RoleBinding.objects.in_force(clock.now()).filter(role__in=roles, scope__in=[EVERYWHERE, environment.scope])
    rows = held.filter(user__is_active=True).exclude(user__in=without)
    return sorted(set(rows.values_list("user__username", flat=True)))


def has_one_publisher(environment: Environment, writer: Actor) -> bool:
    """Whether nobody could publish what `writer` writes there: it is protected, and nobody else may."""
    is_protected = Policy.objects.in_force().filter(environment=environment, protected=True).exists()
    return is_protected and not publishers_of(environment, [writer.user.pk] if writer.user else [])
