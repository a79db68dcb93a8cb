"""Who may listen to what.

A topic is `<prefix>` or `<prefix>.<rest>`; apps register a check per prefix; an unknown prefix is refused.
"""

from collections.abc import Callable

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action

RIGHTS = "rights"  # for the site itself: what somebody may do has changed
TOPICS_MAX = 10
TOPIC_MAX_CHARS = 130
POSITION_MAX = 2**53  # what a browser counts exactly

type_Check = Callable[[Actor, str], bool]
_checks: dict[str, type_Check] = {}


def register(prefix: str, check: type_Check) -> None:
    """Let `check(actor, rest)` decide who may join topics of `prefix`."""
    _checks[prefix] = check


def anybody_who_views(actor: Actor, rest: str) -> bool:
    """The check of topics of lists: everybody with some role may listen, hears that something of the list changed and
    not what, and fetches what it may see.
    """
    return actor.may_anywhere(Action.VIEW)


def may_join(actor: Actor, topic: str) -> bool:
    """Whether the actor may listen to `topic`."""
    prefix, _, rest = topic.partition(".")
    check = _checks.get(prefix)
    return check is not None and actor.user is not None and actor.user.is_active and check(actor, rest)


def is_of_one_thing(topic: str) -> bool:
    """Whether who may join the topic is decided by the one thing it is about, and not by seeing anything at all."""
    return "." in topic


def parse(text: str) -> list[str]:
    """The topics of a comma-separated list, without doubles. Raises ValueError beyond the limits."""
    topics = list(dict.fromkeys(part for part in text.split(",") if part))
    if len(topics) > TOPICS_MAX or any(len(topic) > TOPIC_MAX_CHARS or not topic.isprintable() for topic in topics):
        raise ValueError(f"at most {TOPICS_MAX} topics of {TOPIC_MAX_CHARS} printable characters")
    return topics


def position(text: str) -> int:
    """The position (an event's sequence or a window's id) that a client has reached; 0 for none. Raises ValueError."""
    number = int(text)
    if not 0 <= number <= POSITION_MAX:
        raise ValueError("a position is a number from 0 on")
    return number
