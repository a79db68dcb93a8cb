"""The sessions of people: which are open, where they began, and ending them."""

import re
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.db import transaction
from django.http import HttpRequest

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.live import rights_announce
from mlorch_site.accounts.models import PersonSession, User
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import LAST_SEEN, SESSION_BEGAN, address_of, session_marks
from mlorch_site.accounts.services import user_subject
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import NotFound
from mlorch_site.live.outbox import publish

DEVICE_MAX_CHARS = 80
UNKNOWN_DEVICE = "an unknown program"
BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


@dataclass(frozen=True)
class OpenSession:
    """A session that goes on, and when it ends by itself at the latest, used or not."""

    row: PersonSession
    is_this: bool
    idle_end: datetime
    absolute_end: datetime


def device_words(agent: str) -> str:
    """What a browser says of itself, as people call it."""
    browser = next((name for mark, name in BROWSERS if re.search(rf"{mark}\w*/", agent)), "")
    system = next((name for mark, name in SYSTEMS if mark in agent), "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or UNKNOWN_DEVICE


def session_noted(request: HttpRequest, user: User, *, proven_by: str, issuer: str, issuer_session: str) -> None:
    """Write down a session that begins. Inside the transaction of the sign-in."""
    if request.session.session_key is None:
        request.session.save()
    now = clock.now()
    _forget_ended(user)
    PersonSession.objects.update_or_create(
        session_key=request.session.session_key,
        defaults={
            "user": user,
            "began_at": now,
            "last_seen_at": now,
            "address": address_of(request),
            "device": device_words(request.headers.get("User-Agent", ""))[:DEVICE_MAX_CHARS],
            "proven_by": proven_by,
            "issuer": issuer,
            "issuer_session": issuer_session[:255],
        },
    )


def _forget_ended(user: User) -> None:
    """Let go of the rows of a person's sessions that are over, however they ended."""
    keys = list(PersonSession.objects.filter(user=user).values_list("session_key", flat=True))
    PersonSession.objects.filter(session_key__in=set(keys) - set(_alive(user, keys))).delete()


def session_seen(key: str, address: str, now: datetime) -> None:
    """Note that a session is used, and from where. Harmless for one that was never written down."""
    PersonSession.objects.filter(session_key=key).update(last_seen_at=now, address=address)


def session_forgotten(key: str | None) -> None:
    """Let go of the row of a session that is over. Inside the transaction of what ended it."""
    PersonSession.objects.filter(session_key=key or "").delete()


def open_sessions(user: User, this: str | None) -> list[OpenSession]:
    """A person's sessions that go on, the last used first; `this` is the key of the one that asks (reads them all)."""
    rows = list(PersonSession.objects.filter(user=user))
    found = _alive(user, [row.session_key for row in rows])
    return [_open(row, found[row.session_key], this) for row in rows if row.session_key in found]


def _alive(user: User, keys: list[str]) -> dict[str, dict[str, Any]]:
    """What is in those of the sessions that go on: not idle, not too old, and begun with the password of today."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    marks, now_hash = session_marks(keys), user.get_session_auth_hash()
    rows = store.get_model_class().objects.filter(session_key__in=list(marks))
    found = {row.session_key: row.get_decoded() for row in rows}
    return {key: session for key, session in found.items() if session.get(HASH_SESSION_KEY) == now_hash}


def _open(row: PersonSession, session: dict[str, Any], this: str | None) -> OpenSession:
    seen = session.get(LAST_SEEN, row.last_seen_at.timestamp())
    began = session.get(SESSION_BEGAN, row.began_at.timestamp())
    idle, absolute = seen + settings.SESSION_IDLE_TIMEOUT_S, began + settings.SESSION_MAX_S
    return OpenSession(row, row.session_key == this, clock.from_unix(min(idle, absolute)), clock.from_unix(absolute))


@transaction.atomic
def person_session_end(*, actor: Actor, user: User, number: int, reason: str = "") -> None:
    """End one session of a person: one's own, or as who manages people anybody's. Pages that are open lose their news.

    Raises NotFound for a session that is not this person's or is over; Forbidden without the right.
    """
    _require(actor, user)
    row = PersonSession.objects.select_for_update().filter(user=user, pk=number).first()
    if row is None:
        raise NotFound("There is no such session; it may have ended already.")
    sessions_ended(actor, user, [row], reason)


@transaction.atomic
def person_sessions_end(*, actor: Actor, user: User, keep: str | None = None, reason: str = "") -> int:
    """End all sessions of a person but the one with the key `keep`; return how many."""
    _require(actor, user)
    rows = list(PersonSession.objects.select_for_update().filter(user=user).exclude(session_key=keep or ""))
    sessions_ended(actor, user, rows, reason)
    return len(rows)


def _require(actor: Actor, user: User) -> None:
    actor.require_write()
    if actor.user is None or actor.user.pk != user.pk:
        actor.require(Action.PEOPLE_MANAGE)


def sessions_ended(actor: Actor, user: User, rows: list[PersonSession], reason: str) -> None:
    """End sessions of a person at once, with a record of each that was open. Inside a transaction."""
    keys = [row.session_key for row in rows]
    alive = _alive(user, keys)
    import_module(settings.SESSION_ENGINE).SessionStore.get_model_class().objects.filter(session_key__in=keys).delete()
    for row in rows:
        if row.session_key in alive:
            data = {"device": row.device, "began_at": row.began_at.isoformat(), "from": row.address}
            audit_record(actor, "session.closed", user_subject(user), reason=reason, data=data)
    PersonSession.objects.filter(pk__in=[row.pk for row in rows]).delete()
    rights_announce(user.pk)
    publish(f"person.{user.pk}", "person.changed", {"person": user.pk})
