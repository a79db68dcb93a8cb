"""A sign-in half done: the person is named and vouched for, the second factor is missing. It lasts for minutes."""

from dataclasses import dataclass

from django.http import HttpRequest

from mlorch_site.accounts.models import User
from mlorch_site.lib import clock

KEY = "pending_sign_in"
LASTS_S = 300


@dataclass(frozen=True)
class PendingSignIn:
    """Whose sign-in waits, and how the first half was proven."""

    user: User
    by: str
    issuer: str
    session: str


def pending_keep(request: HttpRequest, user: User, *, by: str, issuer: str = "", session: str = "") -> None:
    """Let a sign-in wait for its second factor, under a session of a new key in which nobody is signed in."""
    request.session.cycle_key()
    request.session[KEY] = {
        "user": user.pk,
        "hash": user.get_session_auth_hash(),
        "by": by,
        "issuer": issuer,
        "session": session,
        "at": clock.now().timestamp(),
    }


def pending_of(request: HttpRequest) -> PendingSignIn | None:
    """The sign-in that waits in this browser; None when there is none, it waited too long, or the person changed."""
    kept = request.session.get(KEY)
    if not isinstance(kept, dict) or clock.now().timestamp() - kept["at"] > LASTS_S:
        return None
    user = User.objects.filter(pk=kept["user"], is_active=True).first()
    if user is None or user.get_session_auth_hash() != kept["hash"]:
        return None
    return PendingSignIn(user, kept["by"], kept["issuer"], kept["session"])


def pending_forget(request: HttpRequest) -> None:
    """Let go of the sign-in that waits."""
    request.session.pop(KEY, None)
