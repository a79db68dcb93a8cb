"""Groups of people, by which approval rules can ask for somebody. A group gives no right by itself.

Changes to one group are serialised by its row.
"""

from typing import Any

from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from django.db.models import Prefetch, QuerySet

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.consequences import consequences, consequences_since
from mlorch_site.accounts.live import rights_announce
from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import administrators
from mlorch_site.accounts.services import user_subject
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Forbidden, Invalid, NotFound
from mlorch_site.live.outbox import publish

NAME_MAX_CHARS = 150
REASON_MAX_CHARS = 300
FORBIDDEN_CHARS = frozenset("/:\x00\r\n")


def groups_visible_to(actor: Actor) -> QuerySet[Group]:
    """All groups with their members, by name: for those who give roles, and nobody else."""
    members = Prefetch("user_set", User.objects.order_by("username"), to_attr="members")
    groups = Group.objects.order_by("name").prefetch_related(members)
    return groups if actor.may(Action.PEOPLE_MANAGE) else groups.none()


def group_for(actor: Actor, name: str) -> Group:
    """A group with its members. Raises NotFound, also for one that is hidden."""
    group = groups_visible_to(actor).filter(name=name).first()
    if group is None:
        raise NotFound(f"There is no group {name[:100]}.")
    return group


@transaction.atomic
def group_create(*, actor: Actor, name: str) -> Group:
    """Make an empty group. Raises Invalid for a name that is taken or that an address cannot hold."""
    actor.require(Action.PEOPLE_MANAGE)
    name = name.strip()
    if not 0 < len(name) <= NAME_MAX_CHARS or set(name) & FORBIDDEN_CHARS:
        said = f"A group's name has 1 to {NAME_MAX_CHARS} characters, without / and :."
        raise Invalid(said, details={"name": f"1 to {NAME_MAX_CHARS} characters, without / and :"})
    taken = Invalid(f"There is a group {name} already.", details={"name": "taken"})
    if Group.objects.filter(name__iexact=name).exists():
        raise taken
    try:
        with transaction.atomic():
            group = Group.objects.create(name=name)
    except IntegrityError:
        raise taken from None
    audit_record(actor, "group.created", _subject(group))
    return group


def why_not_add(actor: Actor, user: User) -> str:
    """Why the actor may not put `user` into a group; empty when it may. As with roles, nobody does it to themselves
    while somebody else can.
    """
    if reason := actor.why_not(Action.PEOPLE_MANAGE):
        return reason
    is_oneself = actor.user is not None and actor.user.pk == user.pk
    if is_oneself and administrators(clock.now()).exclude(user=user).exists():
        return "Nobody puts themselves into a group while another administrator can."
    return ""


@transaction.atomic
def member_add(*, actor: Actor, group: Group, user: User, reason: str) -> None:
    """Put a person into a group. Doing it twice is harmless. Raises Invalid without a reason, Forbidden for oneself."""
    group, reason = _locked(group), _reason_checked(reason)
    if why := why_not_add(actor, user):
        raise Forbidden(why)
    if not group.user_set.filter(pk=user.pk).exists():
        group.user_set.add(user)
        _changed(actor, "group.member_added", group, user, reason)


@transaction.atomic
def member_remove(*, actor: Actor, group: Group, user: User, reason: str) -> None:
    """Take a person out of a group; the record says what does not work any more. Doing it twice is harmless.

    What they approved as its member does not count for what has not begun yet. Raises Invalid without a reason.
    """
    actor.require(Action.PEOPLE_MANAGE)
    group, reason = _locked(group), _reason_checked(reason)
    if group.user_set.filter(pk=user.pk).exists():
        did_not_work = consequences()
        group.user_set.remove(user)
        _changed(actor, "group.member_removed", group, user, reason, **consequences_since(did_not_work))


def _locked(group: Group) -> Group:
    return Group.objects.select_for_update(no_key=True).get(pk=group.pk)


def _reason_checked(reason: str) -> str:
    reason = reason.strip()
    if not 0 < len(reason) <= REASON_MAX_CHARS:
        said = f"Say why, in 1 to {REASON_MAX_CHARS} characters."
        raise Invalid(said, details={"reason": f"1 to {REASON_MAX_CHARS} characters"})
    return reason


def _changed(actor: Actor, action: str, group: Group, user: User, reason: str, **more: Any) -> None:
    to_oneself = actor.user is not None and actor.user.pk == user.pk
    data = {**more, "group": group.name, "to_oneself": to_oneself}
    audit_record(actor, action, user_subject(user), reason=reason, data=data)
    rights_announce(user.pk)
    publish(f"person.{user.pk}", "person.changed", {"person": user.pk})
    publish("people", "person.changed", {"person": user.pk})


def _subject(group: Group) -> Subject:
    return Subject("group", str(group.pk), group.name)
