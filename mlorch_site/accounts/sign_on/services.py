"""People who sign on: who they are here, what their groups give, and when an issuer takes its word back."""

import re
import secrets
from datetime import timedelta

from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from django.http import HttpRequest

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.bindings import issuer_roles_set
from mlorch_site.accounts.models import IssuerMembership, PersonSession, User
from mlorch_site.accounts.person_sessions import sessions_ended
from mlorch_site.accounts.roles import Role
from mlorch_site.accounts.selectors import address_of
from mlorch_site.accounts.services import user_subject
from mlorch_site.accounts.sign_on.issuers import Issuer, Vouched
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Forbidden
from mlorch_site.lib.http import request_id_of

NAME_MAX_CHARS = 60
NOT_IN_NAMES = re.compile(r"[^\w.@+-]", re.ASCII)


def issuer_actor(issuer: Issuer, request: HttpRequest | None = None) -> Actor:
    """What acts when an issuer says something."""
    address, known = ("", "") if request is None else (address_of(request), request_id_of(request))
    return Actor(kind="controller", name=f"sign-on {issuer.slug}", address=address, request_id=known)


def person_vouched(*, request: HttpRequest, issuer: Issuer, vouched: Vouched) -> User:
    """The person whom the issuer vouches for: the one of this issuer and subject, and nobody else.

    The first sign-on makes a person without any right; where the administrator allows it for the issuer, it is joined
    to the one person who has the address, if the issuer says that the address is verified. Then the groups are applied.
    Two first sign-ons at once make one person. Raises Forbidden for a person who is switched off.
    """
    try:
        return _person(request, issuer, vouched)
    except IntegrityError:  # another request made them meanwhile
        return _person(request, issuer, vouched)


@transaction.atomic
def _person(request: HttpRequest, issuer: Issuer, vouched: Vouched) -> User:
    actor = issuer_actor(issuer, request)
    account = SocialAccount.objects.select_related("user").filter(provider=issuer.url, uid=vouched.subject).first()
    user = account.user if account else _joined(actor, issuer, vouched) or _made(actor, issuer, vouched)
    assert isinstance(user, User)
    if not user.is_active or user.is_service:
        raise Forbidden("This person is switched off here. An administrator can switch them on.")
    groups_apply(actor=actor, user=user, issuer=issuer, groups=vouched.groups)
    return user


def _joined(actor: Actor, issuer: Issuer, vouched: Vouched) -> User | None:
    """The person of the verified address, who is known by this subject from now on; None where that is not allowed."""
    if not issuer.links_verified_address or not vouched.address_is_verified or not vouched.address:
        return None
    found = list(User.objects.filter(email__iexact=vouched.address, owner=None)[:2])
    if len(found) != 1 or SocialAccount.objects.filter(user=found[0], provider=issuer.url).exists():
        return None
    SocialAccount.objects.create(user=found[0], provider=issuer.url, uid=vouched.subject)
    audit_record(actor, "person.linked", user_subject(found[0]), data={"issuer": issuer.url, "by": "verified address"})
    return found[0]


def _made(actor: Actor, issuer: Issuer, vouched: Vouched) -> User:
    first, _, last = vouched.name.partition(" ")
    is_free = vouched.address_is_verified and not User.objects.filter(email__iexact=vouched.address).exists()
    user = User(
        username=_free_name(vouched.preferred_name or vouched.address.partition("@")[0]),
        first_name=first[:150],
        last_name=last[:150],
        email=vouched.address if is_free else "",
    )
    user.set_unusable_password()
    user.save()
    SocialAccount.objects.create(user=user, provider=issuer.url, uid=vouched.subject)
    audit_record(actor, "person.created", user_subject(user), data={"issuer": issuer.url})
    return user


def _free_name(wished: str) -> str:
    """A name that nobody has, near the one the issuer gives: that says how a person is called, and not who they are."""
    base = NOT_IN_NAMES.sub("", wished)[:NAME_MAX_CHARS] or "person"
    if not User.objects.filter(username__iexact=base).exists():
        return base
    for number in range(2, 100):
        if not User.objects.filter(username__iexact=f"{base}-{number}").exists():
            return f"{base}-{number}"
    return f"{base}-{secrets.token_hex(4)}"


@transaction.atomic
def groups_apply(*, actor: Actor, user: User, issuer: Issuer, groups: frozenset[str]) -> None:
    """Give what the issuer's groups of a person give, and take back what they gave and do not any more.

    A group without a rule gives nothing. What was given by hand stays. Twice is harmless.
    """
    rules = [rule for rule in issuer.rules if rule.group in groups]
    wanted = {(Role(rule.role), rule.scope) for rule in rules if rule.role}
    until = clock.now() + timedelta(days=issuer.binding_days)
    issuer_roles_set(actor=actor, user=user, issuer=issuer.slug, wanted=wanted, expires_at=until)
    _memberships_set(actor, user, issuer, {rule.member_of for rule in rules if rule.member_of})


def _memberships_set(actor: Actor, user: User, issuer: Issuer, names: set[str]) -> None:
    held = {row.group.name: row for row in IssuerMembership.objects.filter(user=user).select_related("group")}
    own = {name for name, row in held.items() if row.issuer == issuer.slug}
    taken, given = sorted(own - names), []
    for name in taken:
        row = held[name]
        row.delete()
        if not IssuerMembership.objects.filter(user=user, group=row.group).exists():
            user.groups.remove(row.group)
    for name in sorted(names - own):
        group, _ = Group.objects.get_or_create(name=name)
        if name in held or not user.groups.filter(pk=group.pk).exists():  # else somebody gave it by hand
            IssuerMembership.objects.create(user=user, group=group, issuer=issuer.slug)
            user.groups.add(group)
            given.append(name)
    if taken or given:
        audit_record(actor, "person.groups_changed", user_subject(user), data={"in": given, "out": taken})


@transaction.atomic
def sessions_taken_back(*, issuer: Issuer, subject: str, session: str) -> int:
    """End the sessions for which the issuer does not vouch any more: one, or all of a subject; return how many."""
    rows = PersonSession.objects.select_for_update(of=("self",)).filter(issuer=issuer.slug)
    if subject:
        people = SocialAccount.objects.filter(provider=issuer.url, uid=subject).values("user")
        rows = rows.filter(user__in=people)
    if session:
        rows = rows.filter(issuer_session=session)
    found = list(rows.select_related("user"))
    for user in {row.user for row in found}:
        mine = [row for row in found if row.user == user]
        sessions_ended(issuer_actor(issuer), user, mine, f"{issuer.name} ended it.")
    return len(found)


@transaction.atomic
def sign_on_refuse(*, request: HttpRequest, issuer: Issuer, reason: str) -> None:
    """Record a sign-on that was refused."""
    audit_record(
        issuer_actor(issuer, request), "session.refused", Subject("issuer", issuer.slug, issuer.name), reason=reason
    )
