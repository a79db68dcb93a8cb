"""Who counts by what for approval rules: roles in the scopes of what is asked about, and groups (reads the database).

Whoever is in a group counts by it only where a role of theirs lets them approve at all: a group gives no right.
"""

from collections.abc import Collection, Iterable

from django.db.models import Q

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import RoleBinding, User
from mlorch_site.accounts.roles import ALLOWED, EVERYWHERE, Action, roles_that_allow
from mlorch_site.lib import clock
from registry.approvals.rules import GROUP

DECIDING = frozenset(role.value for role in roles_that_allow(Action.RELEASE_DECIDE))


def keys_held(actor: Actor, scopes: Collection[str], groups: Collection[str] | None = None) -> list[str]:
    """What the actor counts by in `scopes`: roles, and the groups they are in (read from the database unless given)."""
    roles = actor.roles_in(scopes)
    keys = [role.value for role in roles]
    if actor.user is not None and any(Action.RELEASE_DECIDE in ALLOWED[role] for role in roles):
        names = groups_of(actor.user) if groups is None else groups
        keys += [f"{GROUP}{name}" for name in names]
    return sorted(keys)


def groups_of(user: User) -> list[str]:
    """The groups that a person is in."""
    return list(user.groups.values_list("name", flat=True))


def people_holding(scopes: Q) -> dict[str, set[str]]:
    """Active person → what they count by, of bindings in force that `scopes` selects."""
    people: dict[str, set[str]] = {}
    held = RoleBinding.objects.in_force(clock.now()).filter(scopes, user__is_active=True)
    for name, role in held.values_list("user__username", "role"):
        people.setdefault(name, set()).add(role)
    able = [name for name, roles in people.items() if roles & DECIDING]
    members = User.groups.through.objects.filter(user__username__in=able)
    for name, group in members.values_list("user__username", "group__name"):
        people[name].add(f"{GROUP}{group}")
    return people


def holders_of(keys: Iterable[str], scopes: Collection[str], excluded: Collection[int]) -> dict[str, list[str]]:
    """Key → the people who count by it in `scopes`, without those who may not, by name."""
    wanted = set(keys)
    left_out = set(User.objects.filter(pk__in=excluded).values_list("username", flat=True))
    people = people_holding(Q(scope__in=[EVERYWHERE, *scopes]))
    return {
        key: sorted(name for name, held in people.items() if key in held and name not in left_out)
        for key in sorted(wanted)
    }
