"""Who is asking: actors out of sessions and tokens (these read the database)."""

import hashlib
import zoneinfo
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, get_user
from django.contrib.sessions.backends.base import SessionBase
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import ApiToken, BindingSet, RoleBinding, User
from mlorch_site.accounts.roles import EVERYWHERE, Role
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Unauthenticated

LAST_USE_RESOLUTION = timedelta(minutes=1)
LAST_SEEN = "last_seen"
PROVEN_AT, PROVEN_BY = "proven_at", "proven_by"
SESSION_BEGAN = "session_began"
IDLE, TOO_OLD = "It was not used for too long.", "It is too old, however much it is used."


def actor_for_user(
    user: User,
    *,
    address: str = "",
    request_id: str = "",
    token: ApiToken | None = None,
    session: SessionBase | dict[str, Any] | None = None,
) -> Actor:
    """The actor for an active person, with the bindings that are in force now; by a session also how it was proven."""
    proven_at = session.get(PROVEN_AT) if session is not None else None
    held = user.bindings.in_force(clock.now()).values_list("role", "scope")
    bindings = frozenset((Role(role), scope) for role, scope in held)
    return Actor(
        kind="token" if token else "person",
        name=user.username,
        user=user,
        bindings=bindings if user.may_act else frozenset(),
        token_scopes=frozenset(token.scopes) if token else None,
        token_expires_at=token.expires_at if token else None,
        address=address,
        request_id=request_id,
        authenticated_at=clock.from_unix(proven_at) if proven_at is not None else None,
        proven_by=session.get(PROVEN_BY, "") if session is not None else "",
    )


def zone_of(user: User | None) -> tzinfo:
    """The time zone that a person chose; the site's for nobody, and for a zone that this machine does not know."""
    try:
        return zoneinfo.ZoneInfo(user.time_zone) if user else timezone.get_default_timezone()
    except (KeyError, ValueError):
        return timezone.get_default_timezone()


def why_over(session: SessionBase | dict[str, Any], now: datetime) -> str:
    """Why a session is over: last used too long ago, or begun too long ago; empty while it goes on."""
    last_seen, began = session.get(LAST_SEEN), session.get(SESSION_BEGAN)
    if last_seen is not None and now.timestamp() - last_seen > settings.SESSION_IDLE_TIMEOUT_S:
        return IDLE
    return TOO_OLD if began is not None and now.timestamp() - began > settings.SESSION_MAX_S else ""


def user_of_session(key: str | None) -> User | None:
    """The active person signed in by a session, as it is in the database now; None when it ended, idled out or never
    was.
    """
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    user = get_user(request)
    if not isinstance(user, User) or not user.is_active or why_over(request.session, clock.now()):
        return None
    return user


@dataclass(frozen=True)
class SessionMark:
    """`text` is another one whenever what the person of a session may do could be; `until` is when that may change by
    itself: an end that is known by now.
    """

    text: str
    until: datetime


def session_marks(keys: list[str]) -> dict[str, SessionMark]:
    """The marks of sessions by their keys; those that are over are left out.

    It takes the same few queries however many sessions there are. That a mark has not changed proves no right by
    itself.
    """
    store = import_module(settings.SESSION_ENGINE).SessionStore
    now = clock.now()
    rows = store.get_model_class().objects.filter(session_key__in=set(keys), expire_date__gt=now)
    sessions = {row.session_key: row.get_decoded() for row in rows}
    people = {int(session[SESSION_KEY]) for session in sessions.values() if SESSION_KEY in session}
    active = dict(User.objects.filter(pk__in=people, is_active=True).values_list("pk", "password"))
    bindings: dict[int, list[tuple[str, datetime | None]]] = {}
    held = RoleBinding.objects.in_force(now).filter(user__in=active)
    for person, role, scope, expires_at in held.values_list("user", "role", "scope", "expires_at"):
        bindings.setdefault(person, []).append((f"{role}@{scope}", expires_at))
    marks = {}
    for key, session in sessions.items():
        person = int(session.get(SESSION_KEY, 0))
        if person in active and not why_over(session, now):
            names = sorted(name for name, _ in bindings.get(person, []))
            ends = [expires_at for _, expires_at in bindings.get(person, []) if expires_at is not None]
            text = f"{person} {session.get(HASH_SESSION_KEY)} {active[person]} {names}"
            marks[key] = SessionMark(text, min([*ends, session_end_of(session, now)]))
    return marks


def session_end_of(session: SessionBase | dict[str, Any], now: datetime) -> datetime:
    """When a session ends by itself when it is not used any more."""
    idle = session.get(LAST_SEEN, now.timestamp()) + settings.SESSION_IDLE_TIMEOUT_S
    return clock.from_unix(min(idle, session.get(SESSION_BEGAN, now.timestamp()) + settings.SESSION_MAX_S))


def administrators(now: datetime) -> BindingSet:
    """The bindings of active people who may give roles at `now`."""
    held = RoleBinding.objects.in_force(now)
    return held.filter(role=Role.ADMINISTRATOR, scope=EVERYWHERE, user__is_active=True, user__owner=None)


def in_scopes(actor: Actor, **fields: str) -> Q:
    """The filter for rows the actor may see: those in one of its scopes. `fields` maps a kind of scope (`environment`,
    `model`) to the field with the name.
    """
    scopes = actor.visible_scopes()
    if scopes is None:
        return Q()
    found = Q(pk__in=[])
    for kind, field in fields.items():
        names = [scope.partition(":")[2] for scope in scopes if scope.startswith(f"{kind}:")]
        found |= Q(**{f"{field}__in": names})
    return found


def address_of(request: HttpRequest) -> str:
    """The client's address as the server saw it."""
    return str(request.META.get("REMOTE_ADDR", ""))[:64]


def token_digest(token: str) -> str:
    """The SHA-256 under which a token is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


def token_for(secret: str) -> ApiToken:
    """Return the live token of an active person, and note its use.

    Raises Unauthenticated with the reason: unknown, revoked, expired, or a disabled person.
    """
    token = ApiToken.objects.select_related("user__owner").filter(digest=token_digest(secret)).first()
    now = clock.now()
    if token is None:
        raise Unauthenticated("This API token is not known.", code="unknown_token")
    if token.revoked_at:
        raise Unauthenticated("This API token was revoked.", code="revoked_token")
    if not token.is_live(now):
        raise Unauthenticated("This API token has expired; make a new one under My tokens.", code="expired_token")
    if not token.user.may_act:
        raise Unauthenticated("The person this token belongs to is disabled.", code="disabled_person")
    if token.last_used_at is None or now - token.last_used_at > LAST_USE_RESOLUTION:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


def actor_of(request: HttpRequest) -> Actor:
    """The actor of a request: signed-in person, bearer of a token, or anonymous. Cached on the request."""
    cached: Actor | None = getattr(request, "actor", None)
    if cached is not None:
        return cached
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        actor = actor_for_user(
            user,
            address=address_of(request),
            request_id=getattr(request, "request_id", ""),
            session=request.session,
        )
    else:
        actor = replace(Actor.anonymous(), address=address_of(request), request_id=getattr(request, "request_id", ""))
    request.actor = actor  # type: ignore[attr-defined]
    return actor
