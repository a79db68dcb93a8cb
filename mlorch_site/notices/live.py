"""Who may listen to news of deliveries: whoever manages some. It is a list, so nothing of it is told."""

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.live.topics import register
from mlorch_site.notices.subscriptions import TOPIC


def may_join_deliveries(actor: Actor, rest: str) -> bool:
    return not rest and actor.may_anywhere(Action.NOTICE_MANAGE)


def register_all() -> None:
    """Called once, when the app is ready."""
    register(TOPIC, may_join_deliveries)
