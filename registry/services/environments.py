"""Environments and policy revisions."""

from dataclasses import dataclass
from typing import Any

from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid
from mlorch_site.live.outbox import publish
from registry import audit_subjects
from registry.approvals.electorate import why_no_group
from registry.counting_windows import rows_with_freezes
from registry.lifecycle import RiskTier
from registry.models import Environment, Model, Policy
from registry.operators import unmeetable_operators
from registry.policy_fields import POLICY_FIELDS, check_policy
from registry.policy_lines import PolicyLine, ruling_before
from registry.protection import loosens
from registry.rule_holders import why_line_unmeetable
from registry.selectors import policies_in_force


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
    """Another revision has come into force since the one that a change started from, or the line was ended."""

    def __init__(self, based_on: int, newest: Policy | None, line: PolicyLine) -> None:
        yours = f"yours started from revision {based_on}" if based_on else "yours started without one"
        details: dict[str, Any] = {"based_on": based_on, "in_force": newest.revision if newest else 0}
        if newest is None:
            what = f"The policy of {line.words} was ended"
        else:
            details["published_by"] = newest.published_by.username if newest.published_by else "the installation"
            what = (
                f"Revision {newest.revision} of the policy of {line.words} was published by {details['published_by']} "
                f"at {newest.created_at:%Y-%m-%d %H:%M:%S} UTC"
            )
        super().__init__(
            f"{what}, and {yours}. Look at what differs, then go on.", code="revised_meanwhile", details=details
        )


@dataclass(frozen=True)
class PolicyChange:
    """A change that keeps the rules: of the revision of a line in force (None before the first) to all of `values`.

    `changed` are the fields that differ from what ruled before; `is_protected` says whether one person alone may not
    make it, and `loosened` what protection it takes off.
    """

    line: PolicyLine
    base: Policy | None
    values: dict[str, Any]
    changed: dict[str, Any]
    is_protected: bool
    loosened: list[str]


@transaction.atomic
def policy_revise(
    *,
    actor: Actor,
    environment: Environment,
    model: Model | None = None,
    tier: str = "",
    based_on: int | None = None,
    **fields: Any,
) -> Policy:
    """Write the next revision of a line of an environment's policy and bring it into force at once; fields not given
    stay as they are, a note belongs to one revision. A line without a revision starts from what rules its models now.

    `based_on` is the revision that the change started from, 0 before the first; None for whatever is in force. Earlier
    revisions are never changed: open releases keep the revision they were requested under.

    Raises RevisedMeanwhile when another one has come into force since, Invalid with the field to blame, and Conflict in
    a protected environment: there a person writes a draft, and another one publishes it.
    """
    line = PolicyLine(environment, model, tier)
    change = policy_change(actor=actor, line=line, based_on=based_on, fields=fields)
    if change.is_protected and not actor.is_controller:
        raise Conflict(
            f"{environment} is protected, so what one administrator writes, another one publishes. Write a draft.",
            code="needs_confirmation",
            details={"loosened": change.loosened},
        )
    return revision_write(actor=actor, change=change, author=actor.user)


def policy_change(*, actor: Actor, line: PolicyLine, based_on: int | None, fields: dict[str, Any]) -> PolicyChange:
    """Take the environment's lock and hold a change against what is in force. Raises as `policy_revise` does."""
    actor.require(Action.POLICY_EDIT, [line.environment.scope])
    line = line_locked(line)
    lines = policies_in_force(line.environment)
    base = next((policy for policy in lines if line.is_line_of(policy)), None)
    if based_on is not None and based_on != (base.revision if base else 0) and lines:
        raise RevisedMeanwhile(based_on, base, line)
    before = base or ruling_before(lines, line)
    values = {**(policy_values(before) if before else {}), "note": "", **fields}
    check_policy(values)
    changed = {name: value for name, value in fields.items() if base is None or getattr(base, name) != value}
    # Whoever sets an installation up does so before there are people.
    if "approval_rules" in changed and not actor.is_controller:
        check_reviewers(line, changed["approval_rules"])
    if "operators" in changed and not actor.is_controller:
        check_operators(line.environment, changed["operators"])
    is_protected = any(policy.protected for policy in lines)
    loosened = loosened_by(before, values, lines, line) if before else []
    return PolicyChange(line, base, values, changed, is_protected, loosened)


def loosened_by(before: Policy, values: dict[str, Any], lines: list[Policy], line: PolicyLine) -> list[str]:
    """What a text for a line takes off a protected environment where `before` rules now, as sentences.

    A freeze of a broader line reaches the line before and after, so no text of the line ends it.
    """
    was = {**policy_values(before), "protected": any(policy.protected for policy in lines)}
    sides = ({**side, "windows": rows_with_freezes(side["windows"], lines, line)} for side in (was, values))
    return loosens(*sides)


def line_locked(line: PolicyLine, *, deleted: bool = False) -> PolicyLine:
    """The line as its rows are now, under the lock of its environment: one revision at a time. Raises Invalid, for a
    model that is not in MLflow any more unless `deleted`.
    """
    environment = Environment.objects.select_for_update().get(pk=line.environment.pk)
    if line.tier and line.tier not in [tier.value for tier in RiskTier]:
        raise Invalid(f"A risk tier is one of {', '.join(RiskTier)}.", details={"tier": "unknown"})
    model = line.model
    if model is not None:
        model = Model.objects.filter(pk=model.pk).first()
        if model is None or (model.deleted_at is not None and not deleted):
            raise Invalid("This model is not in MLflow any more.", details={"model": "deleted"})
    return PolicyLine(environment, model, line.tier)


def policy_values(policy: Policy) -> dict[str, Any]:
    """What a revision says, field by field."""
    return {name: getattr(policy, name) for name in POLICY_FIELDS}


def check_reviewers(line: PolicyLine, rules: list[dict[str, Any]]) -> None:
    """Raise Invalid when nobody at all can meet the approval rules, or a group of theirs does not exist (reads people,
    roles and groups).
    """
    if reason := why_no_group(rules):
        raise Invalid(f"Approval rules: {reason}", details={"approval_rules": reason})
    if reason := why_line_unmeetable(line, rules):
        problem = f"{reason} for {line.words}. Ask for fewer, or give more people the role (or the group) first"
        raise Invalid(f"Approval rules: {problem}.", details={"approval_rules": problem})


def check_operators(environment: Environment, operators: dict[str, list[str]]) -> None:
    """Raise Invalid when an operation is left to roles that nobody holds (reads people and roles)."""
    if problems := unmeetable_operators(environment, operators):
        problem = "; ".join(problems.values())
        raise Invalid(f"Operators: {problem}.", details={"operators": problem})


def revision_write(*, actor: Actor, change: PolicyChange, author: User | None) -> Policy:
    """Write a change as the next revision. `author` wrote it, `actor` brings it into force. Belongs into the
    transaction that made the change.
    """
    line, now = change.line, clock.now()
    newest = line.environment.policies.order_by("-revision").values_list("revision", flat=True).first()
    if change.base is not None:
        Policy.objects.filter(pk=change.base.pk).update(retired_at=now)
    policy = Policy.objects.create(
        environment=line.environment,
        model=line.model,
        tier=line.tier,
        model_made_at=line.model.created_at if line.model else None,
        revision=(newest or 0) + 1,
        created_at=now,
        created_by=author,
        published_by=actor.user,
        **change.values,
    )
    note = str(change.values["note"])
    data = {**change.changed, **({"loosened": change.loosened} if change.loosened else {})}
    audit_record(actor, "policy.revised", audit_subjects.of_policy(policy), reason=note, data=data)
    publish("registry", "policy.changed", {"environment": line.environment.name, "revision": policy.revision})
    return policy
