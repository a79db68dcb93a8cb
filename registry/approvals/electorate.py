"""The people who could approve in an environment, and whether its approval rules can be met by them (reads the
database).
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.contrib.auth.models import Group
from django.db.models import Q

from mlorch_site.accounts.absences import absent_among
from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import EVERYWHERE
from mlorch_site.lib import clock
from registry.approvals.holders import holders_of, people_holding
from registry.approvals.rules import evaluate, is_barely_met, key_of, keys_of, one_more, rule_label, why_nobody_can
from registry.approvals.selectors import approval_progress, approving_decisions
from registry.lifecycle import AuthorUnknown
from registry.models import ApprovalRequest, Environment, Policy
from registry.policy_lines import line_of

MODEL_SCOPES = "model:"

type_Rules = list[dict[str, Any]]


def people_in(environment: Environment, *, of_models: bool = False) -> dict[str, set[str]]:
    """Active person → roles and groups that count in the environment, whatever the model; with `of_models` also by
    roles for single models.
    """
    scopes = Q(scope__in=[EVERYWHERE, environment.scope])
    if of_models:
        scopes |= Q(scope__startswith=MODEL_SCOPES)
    return people_holding(scopes)


def why_no_group(rules: "type_Rules") -> str:
    """Which group that the rules ask for does not exist, as a sentence; empty when all do."""
    named = {str(rule["group"]) for rule in rules if rule.get("group")}
    missing = sorted(named - set(Group.objects.filter(name__in=named).values_list("name", flat=True)))
    return f"There is no group {missing[0]}." if missing else ""


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
    is_stricter = policy.when_author_unknown == AuthorUnknown.ONE_MORE
    if is_stricter and (reason := why_unmeetable(environment, one_more(policy.approval_rules))):
        return f"Nobody can approve a version whose author is unknown for {environment}: {reason}."
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
    """Role or group (`group:<name>`) that is still asked for → the people who count by it there and may still approve,
    by name.
    """
    lacking = {rule.key for rule in approval_progress(request).rules if not rule.met}
    done = {decision.person_id for decision in approving_decisions(request)}
    return holders_of(lacking, request.scopes, {request.requester_id, *request.excluded, *done})


@dataclass(frozen=True)
class Approver:
    """Somebody who could approve; `absent_until` is the last day of an absence that lasts, None for who is there."""

    name: str
    absent_until: date | None = None

    @property
    def said(self) -> str:
        return f"{self.name} (absent until {self.absent_until})" if self.absent_until else self.name


@dataclass(frozen=True)
class RuleOutlook:
    """One rule with those who could meet it. `problem` says why it cannot be met, `warning` that only with people who
    are absent.
    """

    label: str
    people: list[Approver]
    problem: str = ""
    warning: str = ""


@dataclass(frozen=True)
class ApprovalOutlook:
    """Who must approve, rule by rule; `problem` and `warning` are about all rules together, where one person counts
    once.
    """

    rules: list[RuleOutlook]
    problem: str = ""
    warning: str = ""

    @property
    def warnings(self) -> list[str]:
        """All that a requester should know, each once."""
        said = [sentence for rule in self.rules for sentence in (rule.problem, rule.warning) if sentence]
        return said or [sentence for sentence in (self.problem, self.warning) if sentence]


def approval_outlook(rules: "type_Rules", scopes: list[str], excluded: Collection[int]) -> ApprovalOutlook:
    """Who could approve something in `scopes` under `rules`, without those who are `excluded`."""
    holders = holders_of(keys_of(rules), scopes, excluded)
    names = {name for held in holders.values() for name in held}
    ids = dict(User.objects.filter(username__in=names).values_list("username", "pk"))
    absences = absent_among(list(ids.values()), clock.now())
    until = {name: absences[pk].last_day for name, pk in ids.items() if pk in absences}
    people = {name: {key for key, held in holders.items() if name in held} for name in names}
    present = {name: keys for name, keys in people.items() if name not in until}
    outlooks = [_rule_outlook(rule, holders[key_of(rule)], until) for rule in rules]
    problem = "" if evaluate(rules, people).met else f"It could not be approved: {why_nobody_can(rules, people)}."
    warning = "" if problem or evaluate(rules, present).met else _only_by_absent(until)
    return ApprovalOutlook(outlooks, problem, warning)


def _rule_outlook(rule: dict[str, Any], names: list[str], until: dict[str, date]) -> RuleOutlook:
    label, count = rule_label(rule), int(rule["count"])
    people = [Approver(name, until.get(name)) for name in names]
    there = sum(person.absent_until is None for person in people)
    problem = warning = ""
    if len(people) < count:
        problem = f"{label}: {len(people) or 'nobody'} could approve, so it could not be approved."
    elif there < count:
        away = ", ".join(f"{person.name} until {person.absent_until}" for person in people if person.absent_until)
        warning = f"{label}: only with people who are absent ({away})."
    return RuleOutlook(label, people, problem, warning)


def _only_by_absent(until: dict[str, date]) -> str:
    away = ", ".join(f"{name} until {day}" for name, day in sorted(until.items()))
    return f"The rules together can only be met with people who are absent ({away})."
