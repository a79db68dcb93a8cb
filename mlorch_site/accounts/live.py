"""News of people: who may listen to them, those who give roles to all of them, everybody to their own; and that what
somebody may do has changed.
"""

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.live.outbox import publish
from mlorch_site.live.topics import RIGHTS, register


def may_join_people(actor: Actor, rest: str) -> bool:
    return not rest and actor.may(Action.PEOPLE_MANAGE)


def may_join_person(actor: Actor, rest: str) -> bool:
    """`rest` is the person's key."""
    is_oneself = actor.user is not None and rest == str(actor.user.pk)
    return is_oneself or (rest.isascii() and rest.isdigit() and actor.may(Action.PEOPLE_MANAGE))


def rights_announce(person: int) -> None:
    """Let connections that are open be looked at at once: the rights, or a session, of a person have changed.

    Belongs into the transaction of the change.
    """
    publish(RIGHTS, "rights.changed", {"person": person})


def register_all() -> None:
    """Called once, when the app is ready."""
    register("people", may_join_people)
    register("person", may_join_person)
