"""Who may roll back, pause, promote and abort by hand: a policy may leave it to some of the roles that can.

A list narrows and never widens. Rolling back and aborting bring traffic back to what served before, so nobody is kept
from them by a list that no active person meets any more: then the role table alone counts.
"""

from collections.abc import Collection, Mapping

from django.db.models import Q
from django.urls import reverse

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import RoleBinding
from mlorch_site.accounts.roles import EVERYWHERE, Role
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Forbidden
from mlorch_site.lib.reasons import Reason
from registry.models import Environment, Model, Policy
from registry.policy_lines import ruling_of
from registry.selectors import policies_in_force

WORDS = {"rollback": "roll back", "pause": "pause and resume", "promote": "promote", "abort": "abort"}
BRINGS_BACK = frozenset({"rollback", "abort"})
MODEL_SCOPES = "model:"


def why_not_operator(actor: Actor, policy: Policy, operation: str, scopes: Collection[str]) -> str:
    """Why the policy keeps the actor from an operation that its roles allow, with the way to the policy; empty when it
    does not (reads the database where it would).
    """
    if actor.is_controller or is_left_to(policy.operators, operation, actor.roles_in(scopes)):
        return ""
    named: list[str] = policy.operators[operation]
    if operation in BRINGS_BACK and not _holders(named, Q(scope__in=[EVERYWHERE, *scopes])):
        return ""
    roles = " or ".join(Role(role).label for role in named)
    place = policy.environment.name
    said = f"{policy} leaves it to {roles} to {WORDS[operation]}, and you are {'neither' if len(named) > 1 else 'not'}."
    return Reason(said, reverse("environment", args=[place]), f"Policy of {place}")


def is_left_to(operators: Mapping[str, list[str]], operation: str, roles: Collection[Role]) -> bool:
    """Whether a policy with these operators leaves an operation to somebody who holds `roles`."""
    named = operators.get(operation)
    return named is None or any(role.value in named for role in roles)


def why_not_rollback(actor: Actor, environment: Environment, model: Model, scopes: Collection[str]) -> str:
    """Why the policy in force keeps the actor from rolling an endpoint of the model back; empty when it does not (reads
    the database).
    """
    policy = ruling_of(policies_in_force(environment), model.pk, model.risk_tier)
    return why_not_operator(actor, policy, "rollback", scopes) if policy else ""


def require_rollback(actor: Actor, environment: Environment, model: Model, scopes: Collection[str]) -> None:
    """Raise Forbidden unless the policy in force lets the actor roll an endpoint of the model back."""
    if why := why_not_rollback(actor, environment, model, scopes):
        raise Forbidden(why, code="not_operator")


def require_operator(actor: Actor, policy: Policy, operation: str, scopes: Collection[str]) -> None:
    """Raise Forbidden unless the policy lets the actor do the operation."""
    if why := why_not_operator(actor, policy, operation, scopes):
        raise Forbidden(why, code="not_operator")


def _holders(roles: Collection[str], scopes: Q) -> bool:
    held = RoleBinding.objects.in_force(clock.now()).filter(scopes, role__in=list(roles), user__is_active=True)
    return held.exists()


def unmeetable_operators(environment: Environment, operators: dict[str, list[str]]) -> dict[str, str]:
    """Operation → why nobody could do it in the environment, for no model; without those that somebody can."""
    scopes = Q(scope__in=[EVERYWHERE, environment.scope]) | Q(scope__startswith=MODEL_SCOPES)
    found = {}
    for operation, roles in sorted(operators.items()):
        if not _holders(roles, scopes):
            named = " or ".join(Role(role).label for role in roles)
            found[operation] = f"nobody is {named} in {environment}, so nobody could {WORDS[operation]} there"
    return found


def operators_lost() -> list[str]:
    """A sentence for each operation that a policy in force leaves to roles which nobody holds."""
    found = {}
    for policy in Policy.objects.in_force().select_related("environment"):
        for operation, why in unmeetable_operators(policy.environment, policy.operators).items():
            rest = "; until somebody is, everybody whose role allows it can" if operation in BRINGS_BACK else ""
            found[f"{why[0].upper()}{why[1:]}{rest}."] = True
    return list(found)
