"""Signing in and out, and a person's own password: each a record, whoever refused it."""

from datetime import timedelta

from django.conf import settings
from django.contrib.auth import login, logout, update_session_auth_hash
from django.db import transaction
from django.http import HttpRequest

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.live import rights_announce
from mlorch_site.accounts.models import PersonSession, User
from mlorch_site.accounts.person_sessions import session_forgotten, session_noted
from mlorch_site.accounts.selectors import PROVEN_AT, PROVEN_BY, SESSION_BEGAN, actor_for_user, address_of
from mlorch_site.accounts.services import user_subject
from mlorch_site.audit.models import AuditRecord
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.http import request_id_of

SESSIONS = Actor.controller("sessions")
THROTTLED_NOTED_EVERY = timedelta(minutes=1)
PASSWORD = "password"  # noqa: S105 - how somebody proved who they are, in a word
ISSUER = "issuer"  # the short name of who vouched for the person of a session
ISSUER_FACTOR = "issuer_factor"  # whether what they vouch for counts as a second factor
BACKEND = "django.contrib.auth.backends.ModelBackend"
UNKNOWN = "a name that nobody has"  # what was typed may be a password


def stranger(request: HttpRequest) -> Actor:
    """Who asks without being known yet."""
    return Actor(kind="anonymous", name="anonymous", address=address_of(request), request_id=request_id_of(request))


@transaction.atomic
def session_begin(
    *, request: HttpRequest, user: User, proven_by: str = PASSWORD, issuer: str = "", issuer_session: str = ""
) -> None:
    """Sign a person in, under a session of a new key; `proven_by` says in words how they proved who they are.

    A sign-in with the password of the break-glass account, while nobody else may use one, is a record of its own kind.
    """
    former = request.session.session_key
    login(request, user, backend=BACKEND)
    session_forgotten(former)
    now = clock.now().timestamp()
    request.session.update(
        {SESSION_BEGAN: now, PROVEN_AT: now, PROVEN_BY: proven_by, ISSUER: issuer, ISSUER_FACTOR: False}
    )
    session_noted(request, user, proven_by=proven_by, issuer=issuer, issuer_session=issuer_session)
    actor = actor_for_user(user, address=address_of(request), request_id=request_id_of(request))
    is_broken = bool(settings.BREAK_GLASS) and not issuer and user.username == settings.BREAK_GLASS
    data = {"proven_by": proven_by, **({"issuer": issuer} if issuer else {})}
    audit_record(actor, "session.begun_in_emergency" if is_broken else "session.begun", user_subject(user), data=data)
    request.actor = None  # type: ignore[attr-defined]


@transaction.atomic
def session_prove(*, request: HttpRequest, user: User, proven_by: str) -> None:
    """Note that the person of a session proved again who they are, and how."""
    request.session.update({PROVEN_AT: clock.now().timestamp(), PROVEN_BY: proven_by})
    request.actor = None  # type: ignore[attr-defined]
    actor = actor_for_user(user, address=address_of(request), request_id=request_id_of(request))
    audit_record(actor, "session.proved", user_subject(user), data={"proven_by": proven_by})


def why_no_password(user: User) -> str:
    """Why this person may not sign in with a password; empty when they may."""
    if settings.BREAK_GLASS and user.username != settings.BREAK_GLASS:
        return "Passwords are for emergencies here. Sign in with your organisation."
    return "A service account does not sign in; it uses tokens." if user.is_service else ""


@transaction.atomic
def session_refuse(*, actor: Actor, name: str, reason: str) -> None:
    """Record a password that was refused."""
    audit_record(actor, "session.refused", _person_called(name), reason=reason)


@transaction.atomic
def session_throttle(*, request: HttpRequest, name: str, reason: str) -> None:
    """Record that sign-ins wait, once a minute for an address: the record is not the place to fill."""
    actor, since = stranger(request), clock.now() - THROTTLED_NOTED_EVERY
    noted = AuditRecord.objects.filter(action="session.throttled", address=actor.address, at__gte=since)
    if not noted.exists():
        audit_record(actor, "session.throttled", _person_called(name), reason=reason)


def _person_called(name: str) -> Subject:
    user = User.objects.filter(username__iexact=name[:150]).first() if "\x00" not in name else None
    return user_subject(user) if user else Subject("person", "", UNKNOWN)


@transaction.atomic
def session_end(*, request: HttpRequest, actor: Actor) -> None:
    """Sign a person out. Signing out twice is harmless."""
    if actor.user is not None:
        audit_record(actor, "session.ended", user_subject(actor.user))
        rights_announce(actor.user.pk)
    session_forgotten(request.session.session_key)
    logout(request)


@transaction.atomic
def session_expire(*, request: HttpRequest, user: User, reason: str) -> None:
    """End a session that was not used for long, or is too old."""
    audit_record(SESSIONS, "session.expired", user_subject(user), reason=reason)
    rights_announce(user.pk)
    session_forgotten(request.session.session_key)
    logout(request)


@transaction.atomic
def password_change(*, request: HttpRequest, actor: Actor, password: str) -> None:
    """Give the person who asks a new password; all other sessions of the person end."""
    assert actor.user is not None  # the route asks for a person
    user = User.objects.select_for_update().get(pk=actor.user.pk)
    user.set_password(password)
    user.save(update_fields=["password"])
    audit_record(actor, "person.password_changed", user_subject(user))
    rights_announce(user.pk)
    former = request.session.session_key
    update_session_auth_hash(request, user)
    if request.session.session_key is None:
        request.session.save()
    # All others are over: their sessions hold another password's hash.
    PersonSession.objects.filter(user=user).exclude(session_key=former).delete()
    PersonSession.objects.filter(session_key=former).update(session_key=request.session.session_key)


@transaction.atomic
def token_refuse(*, request: HttpRequest, reason: str, subject: Subject | None = None) -> None:
    """Record that an API token was refused."""
    audit_record(stranger(request), "token.refused", subject or Subject("token", "", "unknown token"), reason=reason)
