"""Service accounts: what a program acts as. Each is owned by a person, has roles and tokens, and never a password.

Whoever owns one makes and ends its tokens; who manages people gives its roles, and may give it to somebody else. It
works for as long as its owner is switched on. What only people may do, it may not, whatever its roles.
"""

import re

from django.db import transaction
from django.db.models import Max, QuerySet

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.services import user_subject
from mlorch_site.audit.services import audit_record
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid, NotFound
from mlorch_site.live.outbox import publish

NAME = re.compile(r"^[a-z0-9](?:[a-z0-9._-]{0,58}[a-z0-9])?$")
PER_OWNER_MAX = 50
PURPOSE_MAX_CHARS = 150


def service_accounts_visible_to(actor: Actor) -> QuerySet[User]:
    """The service accounts an actor may see: all for who manages people, else those it owns; with `used_at`."""
    accounts = User.objects.filter(owner__isnull=False).select_related("owner").order_by("username")
    accounts = accounts.annotate(used_at=Max("api_tokens__last_used_at"))
    if actor.may(Action.PEOPLE_MANAGE):
        return accounts
    return accounts.filter(owner=actor.user) if actor.user else accounts.none()


def service_account_for(actor: Actor, name: str) -> User:
    """A service account that the actor may see. Raises NotFound, also for one that is hidden."""
    found = service_accounts_visible_to(actor).filter(username=name).first()
    if found is None:
        raise NotFound(f"There is no service account {name[:100]}.")
    return found


def _changed(account: User) -> None:
    publish(f"person.{account.pk}", "person.changed", {"person": account.pk})
    publish("people", "person.changed", {"person": account.pk})


def _require_person(actor: Actor) -> User:
    actor.require_write()
    if actor.user is None or actor.user.is_service:
        raise Forbidden("Service accounts are made and kept by people.")
    return actor.user


@transaction.atomic
def service_account_create(*, actor: Actor, name: str, purpose: str, owner: User | None = None) -> User:
    """Make a service account without any role or token. Without `owner` it is the actor's own.

    Raises Invalid for a name that is taken or malformed, a missing purpose, an owner who cannot be one; Forbidden to
    make one for somebody else without the right.
    """
    me = _require_person(actor)
    owner = owner or me
    if owner.pk != me.pk:
        actor.require(Action.PEOPLE_MANAGE)
    _check_owner(owner)
    name, purpose = name.strip(), purpose.strip()
    if not NAME.match(name):
        raise Invalid(
            "A name has 1 to 60 small letters, digits, dots, hyphens and underscores, and no sign at its ends.",
            details={"name": "malformed"},
        )
    if User.objects.filter(username__iexact=name).exists():
        raise Invalid(f"Somebody is called {name} already.", details={"name": "taken"})
    if not purpose or len(purpose) > PURPOSE_MAX_CHARS:
        said = f"Say what it is for, in 1 to {PURPOSE_MAX_CHARS} characters."
        raise Invalid(said, details={"purpose": "required"})
    account = User(username=name, last_name=purpose, owner=owner)
    account.set_unusable_password()
    account.save()
    audit_record(actor, "service_account.created", user_subject(account), data={"owner": owner.username})
    _changed(account)
    return account


def _check_owner(owner: User) -> None:
    User.objects.select_for_update(no_key=True).get(pk=owner.pk)
    if owner.is_service or not owner.is_active:
        raise Invalid("The owner is an active person.", details={"owner": "not a person"})
    if owner.service_accounts.filter(is_active=True).count() >= PER_OWNER_MAX:
        raise Invalid(f"A person may own {PER_OWNER_MAX} service accounts.", details={"owner": "too many"})


def _locked(actor: Actor, account: User) -> User:
    me = _require_person(actor)
    account = User.objects.select_for_update(of=("self",)).select_related("owner").get(pk=account.pk)
    if account.owner is None:
        raise Invalid("This is a person, and no service account.")
    if account.owner.pk != me.pk:
        actor.require(Action.PEOPLE_MANAGE)
    return account


@transaction.atomic
def service_account_switch(*, actor: Actor, account: User, active: bool, reason: str) -> User:
    """Switch a service account on or off; its tokens work or do not, at once. Twice is harmless. Raises Invalid."""
    account = _locked(actor, account)
    if not reason.strip():
        raise Invalid("Say why.", details={"reason": "required"})
    if account.is_active != active:
        account.is_active = active
        account.save(update_fields=["is_active"])
        action = "service_account.switched_on" if active else "service_account.switched_off"
        audit_record(actor, action, user_subject(account), reason=reason.strip())
        _changed(account)
    return account


@transaction.atomic
def service_account_hand_over(*, actor: Actor, account: User, owner: User, expected: int | None, reason: str) -> User:
    """Let another person answer for a service account: by who manages people. `expected` is the owner that was seen.

    Raises Conflict when it has another owner by now, Invalid for who cannot be one.
    """
    actor.require(Action.PEOPLE_MANAGE)
    account = _locked(actor, account)
    if account.owner_id == owner.pk:
        return account
    if account.owner_id != expected:
        raise Conflict("Somebody else has given it another owner. Look again, then decide.")
    if not reason.strip():
        raise Invalid("Say why.", details={"reason": "required"})
    _check_owner(owner)
    before = account.owner
    account.owner = owner
    account.save(update_fields=["owner"])
    data = {"from": before.username if before else "", "to": owner.username}
    audit_record(actor, "service_account.handed_over", user_subject(account), reason=reason.strip(), data=data)
    _changed(account)
    return account
