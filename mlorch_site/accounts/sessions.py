"""Signing in and out, and a person's own password: each a record, whoever refused it."""

from datetime import timedelta

from django.contrib.auth import login, logout, update_session_auth_hash
from django.db import transaction
from django.http import HttpRequest

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.accounts.selectors import SESSION_BEGAN, actor_for_user, address_of
from mlorch_site.accounts.services import user_subject
from mlorch_site.audit.models import AuditRecord
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.http import request_id_of

SESSIONS = Actor.controller("sessions")
THROTTLED_NOTED_EVERY = timedelta(minutes=1)
UNKNOWN = "a name that nobody has"  # what was typed may be a password


def stranger(request: HttpRequest) -> Actor:
    """Who asks without being known yet."""
    return Actor(kind="anonymous", name="anonymous", address=address_of(request), request_id=request_id_of(request))


@transaction.atomic
def session_begin(*, request: HttpRequest, user: User) -> None:
    """Sign a person in, under a session of a new key."""
    login(request, user)
    request.session[SESSION_BEGAN] = clock.now().timestamp()
    actor = actor_for_user(user, address=address_of(request), request_id=request_id_of(request))
    audit_record(actor, "session.begun", user_subject(user))


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
    logout(request)


@transaction.atomic
def session_expire(*, request: HttpRequest, user: User, reason: str) -> None:
    """End a session that was not used for long, or is too old."""
    audit_record(SESSIONS, "session.expired", user_subject(user), reason=reason)
    logout(request)


@transaction.atomic
def password_change(*, request: HttpRequest, actor: Actor, password: str) -> None:
    """Give the person who asks a new password; all other sessions of the person end."""
    assert actor.user is not None  # the route asks for a person
    user = User.objects.select_for_update().get(pk=actor.user.pk)
    user.set_password(password)
    user.save(update_fields=["password"])
    audit_record(actor, "person.password_changed", user_subject(user))
    update_session_auth_hash(request, user)


@transaction.atomic
def token_refuse(*, request: HttpRequest, reason: str, subject: Subject | None = None) -> None:
    """Record that an API token was refused."""
    audit_record(stranger(request), "token.refused", subject or Subject("token", "", "unknown token"), reason=reason)
