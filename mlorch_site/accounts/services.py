"""Every change to people and tokens."""

import secrets
import zoneinfo
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import Q

from mlorch_site.accounts.actor import OUTCOMES, Actor
from mlorch_site.accounts.consequences import consequences, consequences_since
from mlorch_site.accounts.live import rights_announce
from mlorch_site.accounts.models import THEMES, ApiToken, User
from mlorch_site.accounts.proof import DECIDE, require_recent_authentication
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import administrators, token_digest
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid, NotFound

TOKEN_BYTES = 32
DECIDING_WITHIN_MINUTES = 10  # how old the proof may be of whoever makes a token that decides
OVERLAP_MAX = timedelta(days=30)
TOKEN_MAX_DAYS = 366
MLFLOW_NAMES_MAX_CHARS = 300
TOKEN_MAX_PER_PERSON = 50
TOKEN_SCOPES = ("read", "write", DECIDE, OUTCOMES)


@transaction.atomic
def person_create(*, actor: Actor, username: str, password: str, full_name: str = "", staff: bool = False) -> User:
    """Create a person who can sign in. Raises Invalid when the name is taken."""
    actor.require(Action.PEOPLE_MANAGE)
    if User.objects.filter(username__iexact=username).exists():
        raise Invalid(f"There is a person called {username} already.", details={"username": "taken"})
    first, _, last = full_name.partition(" ")
    user = User.objects.create_user(
        username=username, password=password, first_name=first, last_name=last, is_staff=staff
    )
    audit_record(actor, "person.created", user_subject(user))
    return user


@transaction.atomic
def person_edit(
    *,
    actor: Actor,
    user: User,
    full_name: str,
    active: bool,
    staff: bool,
    password: str = "",
    mlflow_names: str | None = None,
) -> User:
    """Set a person's name, whether they may sign in and open the admin, and, when given, a new password and the names
    that they have in MLflow (with commas between them).

    A new password ends the person's sessions; an inactive person's sessions and tokens do not work any more. Raises
    Invalid for switching oneself off, or the last administrator whose role does not expire: all would be locked out.
    """
    actor.require(Action.PEOPLE_MANAGE)
    user = User.objects.select_for_update().get(pk=user.pk)
    if actor.user == user and not (active and staff):
        raise Invalid("You cannot switch yourself off; another administrator can.", details={"is_active": "yourself"})
    if user.is_service and (password or staff):
        raise Invalid("A service account has no password and does not open the admin.", details={"password": "none"})
    did_not_work = consequences()
    lasting = administrators(clock.now()).filter(expires_at=None)
    if not active and lasting.filter(user=user).exists() and not lasting.exclude(user=user).exists():
        raise Invalid("This is the last administrator whose role does not expire.", details={"is_active": "the last"})
    first, _, last = full_name.strip().partition(" ")
    names = _mlflow_names(user.mlflow_names if mlflow_names is None else mlflow_names)
    before = {
        "full_name": user.get_full_name(),
        "active": user.is_active,
        "staff": user.is_staff,
        "mlflow_names": user.mlflow_names,
    }
    user.first_name, user.last_name, user.is_active, user.is_staff = first, last, active, staff
    user.mlflow_names = names
    if password:
        user.set_password(password)
    user.save()
    after = {"full_name": user.get_full_name(), "active": active, "staff": staff, "mlflow_names": names}
    changed = {name: value for name, value in after.items() if before[name] != value}
    if changed or password:
        data = {**changed, "password": bool(password), **consequences_since(did_not_work)}
        audit_record(actor, "person.edited", user_subject(user), data=data)
        rights_announce(user.pk)
    return user


def _mlflow_names(text: str) -> str:
    """Names with commas between them, each once. Raises Invalid for too many characters."""
    names = ", ".join(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))
    if len(names) > MLFLOW_NAMES_MAX_CHARS:
        problem = f"at most {MLFLOW_NAMES_MAX_CHARS} characters"
        raise Invalid(f"The names in MLflow have {problem}.", details={"mlflow_names": problem})
    return names


@transaction.atomic
def token_create(
    *,
    actor: Actor,
    user: User,
    name: str,
    scopes: list[str],
    expires_at: datetime | None,
    replaces: ApiToken | None = None,
) -> tuple[ApiToken, str]:
    """Create an API token for `user` and return it with its secret, which is not stored and cannot be shown again.

    Without `expires_at` it ends as late as it may: in a year, or with the token that makes it. Raises Invalid for an
    empty name, unknown scopes, an expiry in the past or beyond that; Forbidden for a token that would make one that may
    more than itself.
    """
    actor.require_write()
    now = clock.now()
    latest = min(now + timedelta(days=TOKEN_MAX_DAYS), actor.token_expires_at or datetime.max.replace(tzinfo=UTC))
    expires_at = expires_at or latest
    _check_token(name, scopes, expires_at, now)
    if expires_at > latest:
        raise Forbidden("A token cannot make one that outlives it.")
    if actor.token_scopes is not None and set(scopes) - actor.token_scopes:
        raise Forbidden("A token cannot make one that may more than itself.")
    if actor.user != user and (actor.user is None or actor.user.pk != user.owner_id):
        actor.require(Action.PEOPLE_MANAGE)
    if DECIDE in scopes:
        _check_decides(actor, user)
    if ApiToken.objects.filter(user=user, revoked_at=None).count() >= TOKEN_MAX_PER_PERSON:
        raise Invalid(f"A person may have {TOKEN_MAX_PER_PERSON} tokens; revoke one first.")
    secret = "mlo_" + secrets.token_urlsafe(TOKEN_BYTES)
    token = ApiToken.objects.create(
        user=user,
        name=name.strip(),
        prefix=secret[:10],
        digest=token_digest(secret),
        scopes=sorted(set(scopes)),
        created_at=now,
        expires_at=expires_at,
        replaces=replaces,
    )
    audit_record(actor, "token.created", token_subject(token), data={"scopes": token.scopes, "user": user.username})
    return token, secret


def _check_decides(actor: Actor, user: User) -> None:
    """A token that stands for a fresh proof is made by its person, with one, and for nobody else."""
    if user.is_service or (actor.user != user and not actor.is_controller):
        raise Forbidden("A token that may decide is made by its person, for themselves.")
    if actor.kind != "token":  # a token that may, and only such a one, makes another
        require_recent_authentication(actor, DECIDING_WITHIN_MINUTES)


def _check_token(name: str, scopes: list[str], expires_at: datetime, now: datetime) -> None:
    if not name.strip() or len(name) > 80:
        raise Invalid("Give the token a name of 1 to 80 characters.", details={"name": "1 to 80 characters"})
    if not scopes or set(scopes) - set(TOKEN_SCOPES) or (DECIDE in scopes and "write" not in scopes):
        said = f"A token's scopes are read, write, or both; with read also {OUTCOMES}, with write also {DECIDE}."
        raise Invalid(said, details={"scopes": "read and/or write"})
    if not now < expires_at <= now + timedelta(days=TOKEN_MAX_DAYS):
        raise Invalid(
            f"A token ends in the future, {TOKEN_MAX_DAYS} days ahead at most.", details={"expires_at": "out of range"}
        )


@transaction.atomic
def token_revoke(*, actor: Actor, token_id: str) -> ApiToken:
    """Revoke a token of the actor's own (an administrator: anybody's). Revoking twice is harmless.

    Raises Forbidden for a token that may only read.
    """
    actor.require_write()
    token = _own_token(actor, token_id)
    if token.revoked_at is None:
        token.revoked_at = clock.now()
        token.save(update_fields=["revoked_at"])
        audit_record(actor, "token.revoked", token_subject(token))
    return token


def _own_token(actor: Actor, token_id: str) -> ApiToken:
    """A token of the actor's own or of one of its service accounts (an administrator: anybody's), locked."""
    tokens = ApiToken.objects.select_for_update(of=("self",)).select_related("user")
    if not actor.may(Action.PEOPLE_MANAGE):
        tokens = tokens.filter(Q(user=actor.user) | Q(user__owner=actor.user))
    token = tokens.filter(pk=token_id).first()
    if token is None:
        raise NotFound("There is no such token.")
    return token


@transaction.atomic
def token_rotate(*, actor: Actor, token_id: str, overlap: timedelta) -> tuple[ApiToken, str]:
    """Make the successor of a token, and let the old one end when `overlap` is over; return it with its secret.

    The successor may what the old one may, for as long as that was made for. Raises Conflict for a token that is over
    or has a successor already, Invalid for an overlap out of range, Forbidden as `token_create` does.
    """
    actor.require_write()
    old, now = _own_token(actor, token_id), clock.now()
    if not timedelta(0) <= overlap <= OVERLAP_MAX:
        raise Invalid(f"Both work for {OVERLAP_MAX.days} days at most.", details={"overlap_hours": "out of range"})
    if not old.is_live(now):
        raise Conflict("This token is over; make a new one.")
    if old.successors.exists():
        raise Conflict("This token has a successor already, and ends by itself.")
    lasts = min(
        (old.expires_at or now + timedelta(days=TOKEN_MAX_DAYS)) - old.created_at, timedelta(days=TOKEN_MAX_DAYS)
    )
    token, secret = token_create(
        actor=actor, user=old.user, name=old.name, scopes=old.scopes, expires_at=now + lasts, replaces=old
    )
    ends = min(now + overlap, old.expires_at) if old.expires_at else now + overlap
    ApiToken.objects.filter(pk=old.pk).update(expires_at=ends)
    audit_record(actor, "token.rotated", token_subject(old), data={"to": str(token.pk), "ends": ends.isoformat()})
    return token, secret


@transaction.atomic
def preferences_set(*, actor: Actor, theme: str, time_zone: str, shortcuts: bool) -> None:
    """Set the person's own theme and time zone, and whether single keys do anything."""
    if theme not in dict(THEMES):
        raise Invalid("The theme is auto, light or dark.", details={"theme": "unknown"})
    if time_zone not in zoneinfo.available_timezones():
        raise Invalid(f"{time_zone} is not a known time zone.", details={"time_zone": "unknown"})
    User.objects.filter(pk=actor.user.pk).update(  # type: ignore[union-attr]
        theme=theme, time_zone=time_zone, shortcuts=shortcuts
    )


def user_subject(user: User) -> Subject:
    """How the audit record names a person."""
    return Subject("person", str(user.pk), user.username)


def token_subject(token: ApiToken) -> Subject:
    """How the audit record names a token."""
    return Subject("token", str(token.pk), token.name)
