"""Second factors: an authenticator app, passkeys, recovery codes. Enrolled, proved and removed by their person."""

from dataclasses import dataclass
from datetime import datetime

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.accounts.one_time_codes import app_add, code_use, period_of
from mlorch_site.accounts.passkeys import passkey_made, passkey_use
from mlorch_site.accounts.proof import require_recent_authentication
from mlorch_site.accounts.recovery_codes import codes_renew, recovery_code_use
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import address_of
from mlorch_site.accounts.services import user_subject
from mlorch_site.accounts.throttle import attempt_count, attempt_forgive
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid, NotFound

KINDS = Authenticator.Type
PASSKEYS_MAX = 20
NAME_MAX_CHARS = 60
CHANGE_WITHIN_MINUTES = 10  # a change of what proves a person asks for a proof not older than that
WRONG_CODE = "This code is wrong, too old, or was used already."


@dataclass(frozen=True)
class Factor:
    """Something a person proves themselves with."""

    number: int
    kind: str
    name: str
    added_at: datetime
    last_used_at: datetime | None


def factors_of(user: User) -> list[Factor]:
    """A person's app and passkeys; recovery codes are none by themselves (reads the database)."""
    rows = Authenticator.objects.filter(user=user).exclude(type=KINDS.RECOVERY_CODES).order_by("pk")
    return [_factor(row) for row in rows]


def _factor(row: Authenticator) -> Factor:
    is_app = row.type == KINDS.TOTP
    name = "Authenticator app" if is_app else row.data["name"]
    return Factor(row.pk, "app" if is_app else "passkey", name, row.created_at, row.last_used_at)


def has_second_factor(user: User) -> bool:
    """Whether a person has an app or a passkey (reads the database)."""
    return bool(Authenticator.objects.filter(user=user).exclude(type=KINDS.RECOVERY_CODES).exists())


def why_factor_needed(actor: Actor) -> str:
    """Why this person has to have a second factor, as the installation asks; empty when they need none or have one."""
    wanted = settings.SECOND_FACTOR_FOR
    if not wanted or actor.user is None or actor.kind != "person":
        return ""
    who = ""
    if "administrators" in wanted and actor.may_anywhere(Action.PEOPLE_MANAGE):
        who = "administrators"
    elif "deciders" in wanted and actor.may_anywhere(Action.RELEASE_DECIDE):
        who = "people who approve releases"
    elif "everybody" in wanted:
        who = "everybody"
    if not who or has_second_factor(actor.user):
        return ""
    return f"This installation asks {who} for a second factor. Set one up to go on."


def _changing(actor: Actor) -> User:
    """The person, its row locked, whose factors are about to change. Raises ProofNeeded and Forbidden."""
    if actor.user is None or actor.kind != "person":
        raise Forbidden("Only a person at a browser changes what proves them.")
    require_recent_authentication(actor, CHANGE_WITHIN_MINUTES)
    return User.objects.select_for_update(no_key=True).get(pk=actor.user.pk)


@transaction.atomic
def app_enrol(*, actor: Actor, secret: str, code: str) -> list[str]:
    """Add an authenticator app whose `code` proves it knows `secret`; return the recovery codes of a first factor.

    Raises Invalid for a wrong code, Conflict for a second app.
    """
    user = _changing(actor)
    if Authenticator.objects.filter(user=user, type=KINDS.TOTP).exists():
        raise Conflict("You have an authenticator app; remove it before you set another one up.")
    used = period_of(secret, _code_of(code))
    if used is None:
        raise Invalid(WRONG_CODE, details={"code": "wrong"})
    is_first = not has_second_factor(user)
    app_add(user, secret, used)
    audit_record(actor, "factor.added", user_subject(user), data={"kind": "app"})
    return codes_renew(user) if is_first else []


@transaction.atomic
def passkey_enrol(*, actor: Actor, request: HttpRequest, answer: str, name: str) -> list[str]:
    """Add the passkey that the browser made; return the recovery codes of a first factor.

    Raises Invalid for a name that is missing or taken, or an answer that is not accepted.
    """
    user = _changing(actor)
    named = name.strip()
    taken = [row.data["name"] for row in Authenticator.objects.filter(user=user, type=KINDS.WEBAUTHN)]
    if not named or len(named) > NAME_MAX_CHARS or named in taken:
        said = f"Give the passkey a name of 1 to {NAME_MAX_CHARS} characters that none of yours has."
        raise Invalid(said, details={"name": "missing or taken"})
    if len(taken) >= PASSKEYS_MAX:
        raise Invalid(f"A person may have {PASSKEYS_MAX} passkeys; remove one first.")
    is_first = not has_second_factor(user)
    passkey_made(request, user, answer, named)
    audit_record(actor, "factor.added", user_subject(user), data={"kind": "passkey", "name": named})
    return codes_renew(user) if is_first else []


@transaction.atomic
def passkey_rename(*, actor: Actor, number: int, name: str) -> None:
    """Call a passkey something else. Raises Invalid for a name that is missing or taken, NotFound."""
    user = _changing(actor)
    row = _own(user, number, KINDS.WEBAUTHN)
    named = name.strip()
    others = Authenticator.objects.filter(user=user, type=KINDS.WEBAUTHN).exclude(pk=row.pk)
    if not named or len(named) > NAME_MAX_CHARS or named in [other.data["name"] for other in others]:
        said = f"Give the passkey a name of 1 to {NAME_MAX_CHARS} characters that none of yours has."
        raise Invalid(said, details={"name": "missing or taken"})
    before, row.data["name"] = row.data["name"], named
    row.save(update_fields=["data"])
    audit_record(actor, "factor.renamed", user_subject(user), data={"from": before, "to": named})


@transaction.atomic
def factor_remove(*, actor: Actor, number: int) -> None:
    """Remove one's app or one of one's passkeys; recovery codes go with the last of them. Raises NotFound."""
    user = _changing(actor)
    row = _own(user, number)
    factor = _factor(row)
    row.delete()
    if not has_second_factor(user):
        Authenticator.objects.filter(user=user).delete()
    audit_record(actor, "factor.removed", user_subject(user), data={"kind": factor.kind, "name": factor.name})


@transaction.atomic
def factors_reset(*, actor: Actor, user: User, reason: str) -> None:
    """Remove all second factors of a person who lost them, as somebody who manages people; never one's own.

    Raises Invalid without a reason, Forbidden.
    """
    actor.require(Action.PEOPLE_MANAGE)
    require_recent_authentication(actor, CHANGE_WITHIN_MINUTES)
    if actor.user is not None and actor.user.pk == user.pk:
        raise Forbidden("Your own factors you remove yourself, one by one, under Security.")
    if not reason.strip():
        raise Invalid("Say why: how do you know that it was this person who asked?", details={"reason": "required"})
    user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    count, _ = Authenticator.objects.filter(user=user).delete()
    audit_record(actor, "factor.reset", user_subject(user), reason=reason.strip(), data={"removed": count})


def _own(user: User, number: int, *kinds: str) -> Authenticator:
    rows = Authenticator.objects.filter(user=user, pk=number).exclude(type=KINDS.RECOVERY_CODES)
    row = (rows.filter(type__in=kinds) if kinds else rows).first()
    if row is None:
        raise NotFound("You have no such second factor.")
    return row


@transaction.atomic
def recovery_renew(*, actor: Actor) -> list[str]:
    """Replace one's recovery codes and return them, this once. Raises Conflict without a second factor."""
    user = _changing(actor)
    if not has_second_factor(user):
        raise Conflict("Recovery codes stand in for a second factor; set one up first.")
    audit_record(actor, "factor.codes_renewed", user_subject(user))
    return codes_renew(user)


def factor_prove(request: HttpRequest, user: User, *, code: str = "", passkey: str = "") -> str:
    """How a code or a passkey's answer proves `user`, in words.

    Wrong codes are counted for the person and wait, wherever they come from. Answers of passkeys count for the network
    only: nobody guesses one, and who sends nonsense in a person's name shall not shut them out. Raises Invalid when it
    proves nothing, TooMany after too many.
    """
    name, address = "" if passkey else f"second factor of {user.pk}", address_of(request)
    attempt_count(name=name, address=address, now=clock.now())
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        by = _proven_by(request, user, code, passkey)
    if not by:
        raise Invalid("The passkey was not accepted. Try once more." if passkey else WRONG_CODE)
    attempt_forgive(name=name, address=address)
    return by


def _proven_by(request: HttpRequest, user: User, code: str, passkey: str) -> str:
    if passkey:
        return "passkey" if passkey_use(request, user, passkey) else ""
    plain = _code_of(code)
    if len(plain) == 6 and plain.isascii() and plain.isdigit():
        return "one-time code" if code_use(user, plain) else ""
    return "recovery code" if plain and recovery_code_use(user, plain) else ""


def _code_of(text: str) -> str:
    return "".join(text[:100].split()).replace("-", "")
