"""Environments and policy revisions."""

from dataclasses import dataclass
from typing import Any

from django.db import transaction

from dataplane.wire.sandbox import LEVELS
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action, roles_that_allow
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid
from mlorch_site.live.outbox import publish
from registry import audit_subjects
from registry.approvals.electorate import why_unmeetable
from registry.change_windows import windows_problem
from registry.gates import GATES
from registry.lifecycle import ChangedOutside, ProposalStatus
from registry.models import Environment, Policy
from registry.protection import loosens
from registry.services.proposal_moves import proposal_move

RULES_MAX = 10
COUNT_MAX = 10
STRATEGIES = ("canary", "shadow", "blue_green", "immediate")
GUARDRAIL_KEYS = {"error_rate": {"metric", "margin"}, "latency_over_slo": {"metric", "margin", "slo_ms"}}
NUMBERS = {"max_first_weight_pct": (1, 100, 100), "approval_days": (1, 365, 30), "judge_deadline_s": (10, 604_800, 900)}
SWITCHES = ("protected", "guardrails_required", "refuse_taken_back")
POLICY_FIELDS = (
    "protected",
    "approval_rules",
    "approval_days",
    "gates",
    "guardrails_required",
    "default_guardrails",
    "allowed_strategies",
    "max_first_weight_pct",
    "judge_deadline_s",
    "when_changed_outside",
    "refuse_taken_back",
    "sandbox_level_min",
    "windows",
    "note",
)


@transaction.atomic
def environment_create(
    *, actor: Actor, name: str, position: int, aliases: bool = False, description: str = "", **policy: Any
) -> Environment:
    """Create an environment with its first policy revision. Raises Invalid when the name is taken or not a slug."""
    actor.require(Action.POLICY_EDIT)
    environment = Environment(name=name, position=position, aliases=aliases, description=description)
    if Environment.objects.filter(name=name).exists():
        raise Invalid(f"There is an environment {name} already.", details={"name": "taken"})
    environment.full_clean()
    environment.save()
    audit_record(actor, "environment.created", audit_subjects.of_environment(environment), data={"aliases": aliases})
    policy_revise(actor=actor, environment=environment, **policy)
    return environment


class RevisedMeanwhile(Conflict):
    """Another revision has come into force since the one that a change started from."""

    def __init__(self, based_on: int, newest: Policy) -> None:
        by = newest.created_by.username if newest.created_by else "the installation"
        details = {"based_on": based_on, "in_force": newest.revision, "published_by": by}
        super().__init__(
            f"Revision {newest.revision} of the policy of {newest.environment} was published by {by} at "
            f"{newest.created_at:%Y-%m-%d %H:%M:%S} UTC, and yours started from revision {based_on}. Look at what "
            "differs, then save again.",
            code="revised_meanwhile",
            details=details,
        )


@dataclass(frozen=True)
class PolicyChange:
    """A change that keeps the rules: of the revision in force (None before the first) to all of `values`.

    `changed` are the fields that differ; `loosened` says what protection it takes off.
    """

    environment: Environment
    base: Policy | None
    values: dict[str, Any]
    changed: dict[str, Any]
    loosened: list[str]


@transaction.atomic
def policy_revise(*, actor: Actor, environment: Environment, based_on: int | None = None, **fields: Any) -> Policy:
    """Write the next revision of an environment's policy; fields not given stay as they are, a note belongs to one
    revision.

    `based_on` is the revision that the change started from, 0 before the first; None for whatever is in force. Earlier
    revisions are never changed: open releases keep the revision they were requested under.

    Raises RevisedMeanwhile when another one has come into force since, Invalid with the field to blame, and Conflict
    when the change takes protection off: that is proposed, and a second administrator confirms it.
    """
    change = policy_change(actor=actor, environment=environment, based_on=based_on, fields=fields)
    if change.loosened:
        raise Conflict(
            f"{' '.join(change.loosened)} {environment} is protected, so one administrator proposes this and another "
            "one confirms it.",
            code="needs_confirmation",
            details={"loosened": change.loosened},
        )
    return revision_write(actor=actor, change=change)


def policy_change(
    *, actor: Actor, environment: Environment, based_on: int | None, fields: dict[str, Any]
) -> PolicyChange:
    """Take the environment's lock and hold a change against what is in force. Raises as `policy_revise` does."""
    actor.require(Action.POLICY_EDIT, [environment.scope])
    environment = Environment.objects.select_for_update().get(pk=environment.pk)  # one revision at a time
    base = environment.policies.select_related("created_by", "environment").order_by("-revision").first()
    if base is not None and based_on is not None and base.revision != based_on:
        raise RevisedMeanwhile(based_on, base)
    values = {**(policy_values(base) if base else {}), "note": "", **fields}
    check_policy(values)
    changed = {name: value for name, value in fields.items() if base is None or getattr(base, name) != value}
    # Whoever sets an installation up does so before there are people.
    if "approval_rules" in changed and not actor.is_controller:
        check_reviewers(environment, changed["approval_rules"])
    return PolicyChange(environment, base, values, changed, loosens(policy_values(base), values) if base else [])


def policy_values(policy: Policy) -> dict[str, Any]:
    """What a revision says, field by field."""
    return {name: getattr(policy, name) for name in POLICY_FIELDS}


def check_reviewers(environment: Environment, rules: list[dict[str, Any]]) -> None:
    """Raise Invalid when nobody at all can meet the approval rules (reads people and roles)."""
    if reason := why_unmeetable(environment, rules):
        problem = f"{reason} for {environment}. Ask for fewer, or give more people the role first"
        raise Invalid(f"Approval rules: {problem}.", details={"approval_rules": problem})


def revision_write(*, actor: Actor, change: PolicyChange) -> Policy:
    """Write a change as the next revision; an open proposal goes stale by it. Belongs into the transaction that made
    the change.
    """
    policy = Policy.objects.create(
        environment=change.environment,
        revision=change.base.revision + 1 if change.base else 1,
        created_at=clock.now(),
        created_by=actor.user,
        **change.values,
    )
    note = str(change.values["note"])
    audit_record(actor, "policy.revised", audit_subjects.of_policy(policy), reason=note, data=change.changed)
    for proposal in change.environment.proposals.filter(status=ProposalStatus.OPEN).select_related("environment"):
        reason = f"Revision {policy.revision} came into force meanwhile."
        proposal_move(proposal, ProposalStatus.STALE, actor=actor, reason=reason)
    publish("registry", "policy.changed", {"environment": change.environment.name, "revision": policy.revision})
    return policy


def check_policy(values: dict[str, Any]) -> None:
    """Raise Invalid, naming the field, unless `values` make a policy."""
    problems: dict[str, str] = {}
    if unknown := set(values) - set(POLICY_FIELDS):
        problems[sorted(unknown)[0]] = "not a field of a policy"
    for field, check in LISTS.items():
        if problem := check(values.get(field, [])):
            problems[field] = problem
    if problem := _names_problem(values.get("gates", []), GATES):
        problems["gates"] = problem
    if problem := _names_problem(values.get("allowed_strategies", []), STRATEGIES):
        problems["allowed_strategies"] = problem
    if values.get("sandbox_level_min", "none") not in LEVELS:
        problems["sandbox_level_min"] = f"one of {', '.join(LEVELS)}"
    for field in SWITCHES:
        if not isinstance(values.get(field, False), bool):
            problems[field] = "true or false"
    for field, (least, most, usual) in NUMBERS.items():
        value = values.get(field, usual)
        if type(value) is not int or not least <= value <= most:
            problems[field] = f"a whole number from {least} to {most}"
    if values.get("when_changed_outside", ChangedOutside.GO_BACK) not in list(ChangedOutside):
        problems["when_changed_outside"] = f"one of {', '.join(ChangedOutside)}"
    if problems:
        field, problem = next(iter(problems.items()))
        raise Invalid(f"{field.replace('_', ' ').capitalize()}: {problem}.", details=problems)


def _rules_problem(rules: Any) -> str:
    if not isinstance(rules, list) or len(rules) > RULES_MAX:
        return f"a list of at most {RULES_MAX} rules"
    roles = [role.value for role in roles_that_allow(Action.RELEASE_DECIDE)]
    for rule in rules:
        if not isinstance(rule, dict) or set(rule) != {"role", "count"}:
            return 'each rule has the keys "role" and "count"'
        if rule["role"] not in roles:
            return f"{rule['role']!r} cannot approve; use one of {', '.join(roles)}"
        if type(rule["count"]) is not int or not 1 <= rule["count"] <= COUNT_MAX:
            return f"a count is a whole number from 1 to {COUNT_MAX}"
    if len({rule["role"] for rule in rules}) != len(rules):
        return "a role is named twice; raise its count"
    return ""


def _guardrails_problem(guardrails: Any) -> str:
    if not isinstance(guardrails, list) or not all(isinstance(row, dict) for row in guardrails):
        return 'a list of guardrails, each with "metric" and "margin"'
    for row in guardrails:
        wanted = GUARDRAIL_KEYS.get(str(row.get("metric")))
        if wanted is None:
            return f"{row.get('metric')!r} is not a metric; use {', '.join(GUARDRAIL_KEYS)}"
        if set(row) != wanted:
            return f"a guardrail on {row['metric']} has the keys {', '.join(sorted(wanted))}"
        if not _is_number(row["margin"]) or not 0 < row["margin"] < 1:
            return "a margin is a number between 0 and 1"
        if "slo_ms" in row and (not _is_number(row["slo_ms"]) or row["slo_ms"] <= 0):
            return "slo_ms is a number of milliseconds above 0"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _names_problem(names: Any, known: Any) -> str:
    if not isinstance(names, list):
        return "a list of names"
    unknown = [str(name) for name in names if name not in known]
    return f"{unknown[0]!r} is not known; use {', '.join(known)}" if unknown else ""


LISTS = {"approval_rules": _rules_problem, "default_guardrails": _guardrails_problem, "windows": windows_problem}
