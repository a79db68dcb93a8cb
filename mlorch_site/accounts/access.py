"""What a person may do, where, through which binding, since when and given by whom; and who can help (reads the
database).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Prefetch, Q, QuerySet

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.bindings import why_not_to
from mlorch_site.accounts.models import RoleBinding, User
from mlorch_site.accounts.roles import ALLOWED, EVERYWHERE, Action, Role, roles_that_allow
from mlorch_site.accounts.scopes import missing_scopes, places_of, scope_label
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.errors import NotFound

RECENT_MAX = 10
PAST_MAX = 100
APPROVERS_MAX = 20
SIGN_INS = ("session.begun", "session.begun_in_emergency", "session.refused", "session.throttled")


@dataclass(frozen=True)
class HeldBinding:
    """A binding at one moment. `state` is `in force`, `expired` or `ended`.

    `leads_nowhere` says that what it is bound to does not exist any more.
    """

    binding: RoleBinding
    where: str
    state: str
    leads_nowhere: bool = False

    @property
    def is_in_force(self) -> bool:
        return self.state == "in force"

    @property
    def given_by(self) -> str:
        """Who gave it, as people read it."""
        if self.binding.issuer:
            return f"sign-on {self.binding.issuer}"
        if self.binding.given_by is not None:
            return self.binding.given_by.username
        return "mlorch itself" if self.binding.given_at else ""


@dataclass(frozen=True)
class Allowance:
    """One action: the bindings that allow it, none when it is not allowed, and the roles that would."""

    action: Action
    through: list[HeldBinding]

    @property
    def roles(self) -> list[str]:
        return [role.label for role in roles_that_allow(self.action)]

    @property
    def key(self) -> str:
        """The row's place on the page: reasons of buttons lead there."""
        return access_key(self.action)


@dataclass(frozen=True)
class Approvers:
    """Who may approve in a place, besides the person who asks; `more` are not named."""

    where: str
    people: list[tuple[User, list[str]]]
    more: int


def access_key(action: Action) -> str:
    """What an action's row on the page of one's access is called."""
    return f"act-{action.value.replace('.', '-')}"


def people_visible_to(actor: Actor) -> QuerySet[User]:
    """The people whose roles an actor may see: all for those who give roles, else only its own person."""
    people = User.objects.order_by("username")
    if actor.may(Action.PEOPLE_MANAGE):
        return people
    return people.filter(pk=actor.user.pk) if actor.user else people.none()


def person_for(actor: Actor, name: str) -> User:
    """A person whose roles the actor may see. Raises NotFound, also for one that is hidden."""
    person = people_visible_to(actor).filter(username=name).first()
    if person is None:
        raise NotFound(f"There is no person {name[:100]}.")
    return person


def binding_for(actor: Actor, name: str, number: int) -> RoleBinding:
    """A binding of a person whose roles the actor may see. Raises NotFound."""
    binding = person_for(actor, name).bindings.select_related("given_by", "ended_by").filter(pk=number).first()
    if binding is None:
        raise NotFound(f"{name[:100]} has no such binding.")
    return binding


def people_with_roles(actor: Actor, now: datetime) -> QuerySet[User]:
    """The visible people, each with the bindings in force as `held`."""
    held = RoleBinding.objects.in_force(now).order_by("role", "scope")
    return people_visible_to(actor).prefetch_related(Prefetch("bindings", held, to_attr="held"))


def held_bindings(user: User, now: datetime) -> list[HeldBinding]:
    """The person's bindings, those in force first, of the past the newest."""
    rows = user.bindings.select_related("user", "given_by", "ended_by")
    current = list(rows.in_force(now).order_by("role", "scope"))
    past = list(rows.exclude(pk__in=[row.pk for row in current]).order_by("-pk")[:PAST_MAX])
    nowhere = missing_scopes(row.scope for row in current)
    return [held_at(row, now, leads_nowhere=row.scope in nowhere) for row in (*current, *past)]


def held_at(binding: RoleBinding, now: datetime, *, leads_nowhere: bool = False) -> HeldBinding:
    """A binding as it is at `now`."""
    state = "in force" if binding.is_in_force(now) else "expired"
    if binding.ended_at is not None and binding.ended_at != binding.expires_at:
        state = "ended"
    return HeldBinding(binding, scope_label(binding.scope), state, leads_nowhere)


def allowances(user: User, bindings: list[HeldBinding]) -> list[Allowance]:
    """Every action with what allows it: nothing to a person who is switched off."""
    held = [row for row in bindings if row.is_in_force and user.is_active]
    return [Allowance(action, [row for row in held if action in ALLOWED[Role(row.binding.role)]]) for action in Action]


def approvers(actor: Actor, user: User, now: datetime) -> list[Approvers]:
    """Who besides `user` may approve, in each environment that the actor sees and for each model that `user` is bound
    to.
    """
    own = set(user.bindings.in_force(now).exclude(scope=EVERYWHERE).values_list("scope", flat=True))
    seen = places_of(actor)
    places = [*seen, *sorted(own - set(seen) - missing_scopes(own))]
    deciding = [role.value for role in roles_that_allow(Action.RELEASE_DECIDE)]
    held = RoleBinding.objects.in_force(now).filter(role__in=deciding, scope__in=[EVERYWHERE, *places])
    rows = list(held.filter(user__is_active=True).exclude(user=user).select_related("user").order_by("user__username"))
    return [_approvers_in(place, rows) for place in places]


def _approvers_in(place: str, rows: list[RoleBinding]) -> Approvers:
    roles: dict[User, list[str]] = {}
    for row in rows:
        if row.scope in (EVERYWHERE, place) and row.role_label not in roles.setdefault(row.user, []):
            roles[row.user].append(row.role_label)
    named = list(roles.items())
    return Approvers(scope_label(place), named[:APPROVERS_MAX], len(named[APPROVERS_MAX:]))


def recent_sign_ins(user: User) -> QuerySet[AuditRecord]:
    """The newest sign-ins of a person, and those that were refused."""
    about = AuditRecord.objects.filter(subject_kind="person", subject_id=str(user.pk), action__in=SIGN_INS)
    return about.order_by("-sequence")[:RECENT_MAX]


def recent_refusals(user: User) -> QuerySet[AuditRecord]:
    """The newest acts that a person was refused."""
    own = Q(actor=user.username, actor_kind__in=("person", "token"), action="act.refused")
    return AuditRecord.objects.filter(own).order_by("-sequence")[:RECENT_MAX]


def access_of(actor: Actor, user: User) -> dict[str, Any]:
    """All that a page shows of a person's access."""
    now = clock.now()
    bindings = held_bindings(user, now)
    return {
        "person": user,
        "is_oneself": actor.user is not None and actor.user.pk == user.pk,
        "bindings": [row for row in bindings if row.is_in_force],
        "groups": list(user.groups.order_by("name").values_list("name", flat=True)),
        "past": [row for row in bindings if not row.is_in_force],
        "allowances": allowances(user, bindings),
        "approvers": approvers(actor, user, now),
        "sign_ins": recent_sign_ins(user),
        "refusals": recent_refusals(user),
        "may_manage": actor.may(Action.PEOPLE_MANAGE),
        "why_not_give": why_not_to(actor, user),
    }
