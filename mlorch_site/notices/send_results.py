"""How an attempt to send ends when it is not sent and a further one would not help."""

from mlorch_site.lib.errors import DomainError


class NothingToTell(DomainError):
    """Nobody is to be told of it any more; the message says why."""

    code = "nothing_to_tell"


class RefusedForGood(DomainError):
    """The receiver will never take it; the message says what it answered. `status` is that of a webhook's answer."""

    code = "refused_for_good"
