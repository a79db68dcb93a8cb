"""Who may listen to news of people: those who give roles to all of them, everybody to their own."""

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.live.topics import register


def may_join_people(actor: Actor, rest: str) -> bool:
    return not rest and actor.may(Action.PEOPLE_MANAGE)


def may_join_person(actor: Actor, rest: str) -> bool:
    """`rest` is the person's key."""
    is_oneself = actor.user is not None and rest == str(actor.user.pk)
    return is_oneself or (rest.isascii() and rest.isdigit() and actor.may(Action.PEOPLE_MANAGE))


def register_all() -> None:
    """Called once, when the app is ready."""
    register("people", may_join_people)
    register("person", may_join_person)
