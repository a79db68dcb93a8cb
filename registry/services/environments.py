"""Environments and policy revisions."""

from typing import Any

from django.db import transaction

from dataplane.wire.sandbox import LEVELS
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action, roles_that_allow
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Invalid
from mlorch_site.live.outbox import publish
from registry import audit_subjects
from registry.gates import GATES
from registry.lifecycle import ChangedOutside
from registry.models import Environment, Policy

RULES_MAX = 10
COUNT_MAX = 10
STRATEGIES = ("canary", "shadow", "blue_green", "immediate")
GUARDRAIL_KEYS = {"error_rate": {"metric", "margin"}, "latency_over_slo": {"metric", "margin", "slo_ms"}}
NUMBERS = {"max_first_weight_pct": (1, 100, 100), "approval_days": (1, 365, 30), "judge_deadline_s": (10, 604_800, 900)}
POLICY_FIELDS = (
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


@transaction.atomic
def policy_revise(*, actor: Actor, environment: Environment, **fields: Any) -> Policy:
    """Write the next revision of an environment's policy; fields not given stay as they are.

    Raises Invalid with the field to blame.

    Earlier revisions are never changed: open releases keep the revision they were requested under.
    """
    actor.require(Action.POLICY_EDIT, [environment.scope])
    Environment.objects.select_for_update().get(pk=environment.pk)  # one revision at a time
    latest = Policy.objects.filter(environment=environment).order_by("-revision").first()
    values = {name: getattr(latest, name) for name in POLICY_FIELDS} if latest else {}
    values |= fields
    check_policy(values)
    policy = Policy.objects.create(
        environment=environment,
        revision=latest.revision + 1 if latest else 1,
        created_at=clock.now(),
        created_by=actor.user,
        **values,
    )
    changed = {name: value for name, value in fields.items() if latest is None or getattr(latest, name) != value}
    audit_record(
        actor, "policy.revised", audit_subjects.of_policy(policy), reason=str(values.get("note", "")), data=changed
    )
    publish("registry", "policy.changed", {"environment": environment.name, "revision": policy.revision})
    return policy


def check_policy(values: dict[str, Any]) -> None:
    """Raise Invalid, naming the field, unless `values` make a policy."""
    problems: dict[str, str] = {}
    if unknown := set(values) - set(POLICY_FIELDS):
        problems[sorted(unknown)[0]] = "not a field of a policy"
    for field, check in (("approval_rules", _rules_problem), ("default_guardrails", _guardrails_problem)):
        if problem := check(values.get(field, [])):
            problems[field] = problem
    if problem := _names_problem(values.get("gates", []), GATES):
        problems["gates"] = problem
    if problem := _names_problem(values.get("allowed_strategies", []), STRATEGIES):
        problems["allowed_strategies"] = problem
    if values.get("sandbox_level_min", "none") not in LEVELS:
        problems["sandbox_level_min"] = f"one of {', '.join(LEVELS)}"
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
