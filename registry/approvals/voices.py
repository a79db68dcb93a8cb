"""With whose power somebody decides: the own, or that of a person who delegated it (reads the database)."""

from dataclasses import dataclass
from datetime import datetime

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import EVERYWHERE, Action
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.lib.errors import Forbidden
from registry.models import ApprovalRequest, Decision, Delegation


@dataclass(frozen=True)
class Voice:
    """The power of `person`, used by themselves, or by somebody else through `delegation`. `holder` is the person with
    the roles that they held when it was read.
    """

    person: User
    holder: Actor
    delegation: Delegation | None = None

    @property
    def on_behalf_of(self) -> User | None:
        """Whose power it is, when it is not the own."""
        return self.person if self.delegation else None


def own_voice(actor: Actor) -> Voice:
    """The actor's own power. Raises Forbidden for what is no person."""
    if actor.user is None:
        raise Forbidden("Only a person can decide.")
    return Voice(actor.user, actor)


def delegated_voices(actor: Actor, now: datetime) -> list[Voice]:
    """The powers that were delegated to the actor and are in force, one for each person, by name."""
    if actor.user is None:
        return []
    held = actor.user.delegations_held.in_force(now).select_related("delegator").order_by("delegator__username", "pk")
    return [Voice(row.delegator, actor_for_user(row.delegator), row) for row in held]


def covers(delegation: Delegation, scopes: list[str]) -> bool:
    """Whether what lies in `scopes` lies in a scope that was delegated."""
    return bool({EVERYWHERE, *scopes} & set(delegation.scopes))


def why_voice_lost(decision: Decision, request: ApprovalRequest, now: datetime) -> str:
    """Why a decision made with a delegated power does not count any more; empty when it does, and for all others."""
    if decision.delegation is None:
        return ""
    if not decision.delegation.is_in_force(now):
        return f"{decision.by} approved, and what was delegated has ended since."
    if not actor_for_user(decision.person).may(Action.RELEASE_DECIDE, request.scopes):
        return f"{decision.by} approved, and {decision.person.username} may not decide any more."
    return ""
