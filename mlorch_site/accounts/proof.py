"""How recently a person proved who they are, for acts that ask for it anew.

`require_recent_authentication` is called by the service of the act. What then happens in a browser, `ProofMiddleware`
does: it asks, keeps what was typed, and lets the act go on in the same request in which the proof arrives.
"""

from datetime import timedelta

from mlorch_site.accounts.actor import Actor
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Forbidden, ProofNeeded

DECIDE = "decide"
NOT_BY_TOKEN = (
    "This asks that whoever acts has just proved who they are. A token does so only when it was made for it: make one "
    f"with the scope {DECIDE} under My tokens."
)


def require_recent_authentication(actor: Actor, minutes: int) -> None:
    """Raise unless the actor proved within so many minutes who they are; 0 minutes ask for nothing.

    Raises ProofNeeded for a person, who can prove it again; Forbidden for a token that was not made for it. A part of
    mlorch itself needs none.
    """
    if minutes <= 0 or actor.is_controller:
        return
    if actor.kind == "token":
        if DECIDE not in (actor.token_scopes or ()):
            raise Forbidden(NOT_BY_TOKEN)
        return
    if reason := why_not_recent(actor, minutes):
        raise ProofNeeded(reason)


def why_not_recent(actor: Actor, minutes: int) -> str:
    """Why what a person proved is not enough for an act that asks for it anew; empty when it is."""
    proven = actor.authenticated_at
    if proven is not None and clock.now() - proven <= timedelta(minutes=minutes):
        return ""
    age = "a minute" if minutes == 1 else f"{minutes} minutes"
    return f"This needs a proof of who you are that is not older than {age}."


def proof_of(actor: Actor) -> dict[str, str | None]:
    """How and when the actor proved who they are, as data of a record."""
    if actor.kind == "token":
        return {"proven_by": "token", "proven_at": None}
    at = actor.authenticated_at
    return {"proven_by": actor.proven_by, "proven_at": at.isoformat() if at else None}
