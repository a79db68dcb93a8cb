"""Giving the power to decide to somebody else for an absence, and ending that."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import RoleBinding, User
from mlorch_site.accounts.roles import EVERYWHERE, Action, roles_that_allow
from mlorch_site.accounts.scopes import scope_checked, scope_label
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Forbidden, Invalid, NotFound
from mlorch_site.live.outbox import publish
from registry.models import Delegation

REASON_MAX_CHARS = 300
DAYS_MAX = 92
AHEAD_MAX = timedelta(days=366)
SCOPES_MAX = 20
OPEN_MAX = 20


@dataclass(frozen=True)
class HeldDelegation:
    """A delegation as a page shows it. `powerless` says why it gives nothing although it is in force."""

    delegation: Delegation
    is_in_force: bool
    is_over: bool
    powerless: str
    places: list[str]


@transaction.atomic
def delegation_give(
    *, actor: Actor, delegate: str, scopes: list[str], starts_at: datetime, ends_at: datetime, reason: str
) -> Delegation:
    """Let the person named `delegate` decide with the actor's power in `scopes` for a time. The same twice is once.

    Raises Invalid with the field to blame, Forbidden for what is no person.
    """
    actor.require_write()
    if actor.user is None:
        raise Forbidden("Only a person has a power to delegate.")
    now, person = clock.now(), User.objects.select_for_update(no_key=True).get(pk=actor.user.pk)
    _check_time(starts_at, ends_at, now)
    reason = reason.strip()
    if not 1 <= len(reason) <= REASON_MAX_CHARS:
        raise Invalid(f"Say why, in 1 to {REASON_MAX_CHARS} characters.", details={"reason": "missing or too long"})
    other = _delegate(person, delegate)
    scopes = _scopes(actor, other, scopes)
    opened = person.delegations_given.open(now)
    values = {"delegate": other, "scopes": scopes, "starts_at": starts_at, "ends_at": ends_at}
    same = next((row for row in opened.filter(delegate=other, ends_at=ends_at) if _is(row, values)), None)
    if same is not None:
        return same
    if opened.count() >= OPEN_MAX:
        raise Invalid(f"{OPEN_MAX} delegations of yours are open; end one first.")
    delegation = Delegation.objects.create(delegator=person, reason=reason, created_at=now, **values)
    _changed(actor, "delegation.given", delegation, reason)
    return delegation


@transaction.atomic
def delegation_end(*, actor: Actor, delegation: Delegation) -> Delegation:
    """End a delegation now; approvals that were given with it do not hold any more. Ending what is over is harmless.

    For who gave it, who holds it, and administrators of people.
    """
    actor.require_write()
    delegation = (
        Delegation.objects.select_for_update(of=("self",)).select_related("delegator", "delegate").get(pk=delegation.pk)
    )
    own = actor.user is not None and actor.user.pk in (delegation.delegator_id, delegation.delegate_id)
    if not own:
        actor.require(Action.PEOPLE_MANAGE)
    now = clock.now()
    if delegation.ended_at is None and delegation.ends_at > now:
        delegation.ended_at, delegation.ended_by = now, actor.user
        delegation.save(update_fields=["ended_at", "ended_by"])
        _changed(actor, "delegation.ended", delegation, "")
    return delegation


def delegations_visible_to(actor: Actor) -> QuerySet[Delegation]:
    """The delegations that a person gave or holds; all of them for administrators of people."""
    rows = Delegation.objects.select_related("delegator", "delegate", "ended_by")
    if actor.may(Action.PEOPLE_MANAGE):
        return rows
    if actor.user is None:
        return rows.none()
    return rows.filter(Q(delegator=actor.user) | Q(delegate=actor.user))


def delegation_for(actor: Actor, pk: UUID | str) -> Delegation:
    """A delegation that the actor may see. Raises NotFound."""
    found = delegations_visible_to(actor).filter(pk=pk).first()
    if found is None:
        raise NotFound("There is no such delegation.")
    return found


def held_delegations(rows: Collection[Delegation], now: datetime) -> list[HeldDelegation]:
    """Delegations with what each gives at `now` (reads the roles of all their people at once)."""
    deciding = _deciding_scopes({key for row in rows for key in (row.delegator_id, row.delegate_id)}, now)
    return [_held(row, deciding, now) for row in rows]


def _held(row: Delegation, deciding: dict[int, set[str]], now: datetime) -> HeldDelegation:
    in_force, is_over = row.is_in_force(now), row.ended_at is not None or row.ends_at <= now
    powerless = why_powerless(row, deciding) if in_force else ""
    return HeldDelegation(row, in_force, is_over, powerless, [scope_label(scope) for scope in row.scopes])


def _deciding_scopes(people: Collection[int], now: datetime) -> dict[int, set[str]]:
    """Active person → the scopes in which they hold a role that decides."""
    roles = [role.value for role in roles_that_allow(Action.RELEASE_DECIDE)]
    held = RoleBinding.objects.in_force(now).filter(user__in=people, user__is_active=True, role__in=roles)
    found: dict[int, set[str]] = {}
    for key, scope in held.values_list("user", "scope"):
        found.setdefault(key, set()).add(scope)
    return found


def why_powerless(delegation: Delegation, deciding: dict[int, set[str]]) -> str:
    """Why a delegation gives nothing: one of the two may not decide in any of its scopes; empty when it gives
    something. `deciding` are the scopes in which each person may.
    """
    for person in (delegation.delegator, delegation.delegate):
        if not any(_overlap(own, scope) for own in deciding.get(person.pk, ()) for scope in delegation.scopes):
            return f"{person.username} may not decide there any more, so it gives nothing."
    return ""


def _overlap(one: str, other: str) -> bool:
    """Whether something can lie in both scopes: a model lies in every environment."""
    return EVERYWHERE in (one, other) or one == other or one.partition(":")[0] != other.partition(":")[0]


def stand_ins(names: list[str], scopes: list[str], excluded: set[int], now: datetime) -> dict[str, list[str]]:
    """Who of `names` has delegated the power to decide on what lies in `scopes` → who decides for them meanwhile."""
    rows = Delegation.objects.in_force(now).filter(delegator__username__in=names, delegate__is_active=True)
    found: dict[str, list[str]] = {}
    for row in rows.exclude(delegate__in=excluded).select_related("delegator", "delegate"):
        reaches = {EVERYWHERE, *scopes} & set(row.scopes)
        if reaches and actor_for_user(row.delegate).may(Action.RELEASE_DECIDE, scopes):
            found.setdefault(row.delegator.username, []).append(row.delegate.username)
    return found


def delegable_scopes(actor: Actor) -> list[str]:
    """The scopes in which the actor holds a role that decides, everything last."""
    held = {scope for _, scope in actor.bindings if actor.may(Action.RELEASE_DECIDE, [scope])}
    return sorted(held - {EVERYWHERE}) + ([EVERYWHERE] if EVERYWHERE in held else [])


def _check_time(starts_at: datetime, ends_at: datetime, now: datetime) -> None:
    if ends_at <= max(starts_at, now):
        raise Invalid("It ends after it begins, and in the future.", details={"ends_at": "too early"})
    if ends_at - starts_at > timedelta(days=DAYS_MAX):
        raise Invalid(f"It lasts {DAYS_MAX} days at most.", details={"ends_at": "too late"})
    if starts_at > now + AHEAD_MAX:
        raise Invalid("It begins within a year.", details={"starts_at": "too late"})


def _delegate(person: User, name: str) -> User:
    other = User.objects.filter(username=name.strip(), is_active=True).first()
    if other is None:
        said = f"There is nobody called {name.strip()[:150]} who is active."
        raise Invalid(said, details={"delegate": "unknown"})
    if other.pk == person.pk:
        raise Invalid("Pick somebody else: you hold your own power already.", details={"delegate": "yourself"})
    return other


def _scopes(actor: Actor, other: User, scopes: list[str]) -> list[str]:
    if not 1 <= len(scopes) <= SCOPES_MAX:
        raise Invalid(f"Pick 1 to {SCOPES_MAX} places.", details={"scopes": "none or too many"})
    checked = sorted({_scope(scope) for scope in scopes})
    theirs = actor_for_user(other)
    for scope in checked:
        if not actor.may(Action.RELEASE_DECIDE, [scope]):
            said = f"You may not decide for {scope_label(scope)}, so there is nothing to delegate."
            raise Invalid(said, details={"scopes": "not yours"})
        if not theirs.may(Action.RELEASE_DECIDE, [scope]):
            said = f"{other.username} holds no role that decides for {scope_label(scope)}, so may not decide for you."
            raise Invalid(said, details={"delegate": "may not decide"})
    return checked


def _scope(scope: str) -> str:
    try:
        return scope_checked(scope)
    except Invalid as error:
        raise Invalid(error.message, details={"scopes": "unknown"}) from error


def _is(row: Delegation, values: dict[str, object]) -> bool:
    return all(getattr(row, name) == value for name, value in values.items())


def _changed(actor: Actor, action: str, delegation: Delegation, reason: str) -> None:
    data = {
        "delegator": delegation.delegator.username,
        "delegate": delegation.delegate.username,
        "scopes": delegation.scopes,
        "starts_at": delegation.starts_at.isoformat(),
        "ends_at": delegation.ends_at.isoformat(),
    }
    scopes = tuple(scope for scope in delegation.scopes if scope != EVERYWHERE)
    subject = Subject("delegation", str(delegation.pk), str(delegation), scopes)
    audit_record(actor, action, subject, reason=reason, data=data)
    for person in (delegation.delegator_id, delegation.delegate_id):
        publish(f"person.{person}", "delegation.changed", {"delegation": str(delegation.pk)})
    publish("approvals", "delegation.changed", {"delegation": str(delegation.pk)})
