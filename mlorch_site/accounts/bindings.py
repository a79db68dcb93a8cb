"""Giving, extending and ending roles. All changes to one person's bindings are serialised by the person's row."""

from datetime import datetime, timedelta

from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.consequences import consequences, consequences_since
from mlorch_site.accounts.live import rights_announce
from mlorch_site.accounts.models import RoleBinding, User
from mlorch_site.accounts.roles import Action, Role, roles_that_allow
from mlorch_site.accounts.scopes import missing_scopes, scope_checked, scope_label
from mlorch_site.accounts.selectors import administrators
from mlorch_site.accounts.services import user_subject
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from mlorch_site.live.outbox import publish

REASON_MAX_CHARS = 300
BINDING_MAX_DAYS = 3660
BINDINGS_MAX_PER_PERSON = 200
NAMED_MAX = 3
RENEWED_EVERY = timedelta(hours=20)  # of what an issuer vouches for at every sign-on
EXPIRED = "It expired."


def _locked(user: User) -> User:
    # Not its key: a binding that somebody else writes may name this person, and the two would wait for each other.
    return User.objects.select_for_update(no_key=True).get(pk=user.pk)


def _changed(actor: Actor, action: str, binding: RoleBinding, reason: str, **more: object) -> None:
    """Record and announce a change of a binding."""
    data = {
        **more,
        "binding": binding.pk,
        "role": binding.role,
        "scope": binding.scope,
        "expires_at": binding.expires_at.isoformat() if binding.expires_at else None,
        "to_oneself": actor.user is not None and actor.user.pk == binding.user_id,
    }
    audit_record(actor, action, user_subject(binding.user), reason=reason, data=data)
    rights_announce(binding.user_id)
    publish(f"person.{binding.user_id}", "person.changed", {"person": binding.user_id})
    publish("people", "person.changed", {"person": binding.user_id})


def _reason_checked(reason: str) -> str:
    reason = reason.strip()
    if not reason or len(reason) > REASON_MAX_CHARS:
        said = f"Say why, in 1 to {REASON_MAX_CHARS} characters."
        raise Invalid(said, details={"reason": f"1 to {REASON_MAX_CHARS} characters"})
    return reason


def _check_expiry(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and not now < expires_at <= now + timedelta(days=BINDING_MAX_DAYS):
        said = f"A role expires in the future, {BINDING_MAX_DAYS} days ahead at most."
        raise Invalid(said, details={"expires_at": "out of range"})


def why_not_to(actor: Actor, user: User) -> str:
    """Why the actor may not give roles to `user`, or extend them; empty when it may.

    Nobody gives a role to themselves while somebody else can. The only administrator may; the binding shows it.
    """
    if reason := actor.why_not(Action.PEOPLE_MANAGE):
        return reason
    if actor.user is None or actor.user.pk != user.pk:
        return ""
    others = administrators(clock.now()).exclude(user=user).order_by("user__username")
    names = list(dict.fromkeys(others.values_list("user__username", flat=True)))[:NAMED_MAX]
    return f"Nobody gives a role to themselves. Ask another administrator: {', '.join(names)}." if names else ""


@transaction.atomic
def role_bind(
    *, actor: Actor, user: User, role: Role, scope: str, reason: str, expires_at: datetime | None = None
) -> RoleBinding:
    """Give `user` a role in `scope`, until `expires_at` when that is given. Giving it twice is harmless.

    Raises Invalid for a scope of nothing that exists, a missing reason, or an expiry out of range; Forbidden without
    the right, and for a role to oneself while another administrator can give it; Conflict when the person holds the
    role there with another expiry.
    """
    user, now = _locked(user), clock.now()
    if why := why_not_to(actor, user):
        raise Forbidden(why)
    scope, reason = scope_checked(scope), _reason_checked(reason)
    _check_expiry(expires_at, now)
    _check_kind(user, role)
    _settle_expired(user, now)
    opened = user.bindings.filter(ended_at=None)
    if held := opened.filter(role=role.value, scope=scope, issuer="").first():
        return _same(held, expires_at)
    if opened.count() >= BINDINGS_MAX_PER_PERSON:
        raise Invalid(f"A person may hold {BINDINGS_MAX_PER_PERSON} roles; end one first.")
    binding = RoleBinding.objects.create(
        user=user,
        role=role.value,
        scope=scope,
        reason=reason,
        given_by=actor.user,
        given_at=now,
        expires_at=expires_at,
    )
    _changed(actor, "role.bound", binding, reason)
    return binding


def _check_kind(user: User, role: Role) -> None:
    """A role whose point is what only people may do is not given to a service account."""
    if user.is_service and role in (Role.ADMINISTRATOR, *roles_that_allow(Action.RELEASE_DECIDE)):
        said = f"A service account cannot be {role.label}: what that role is for, only people may do."
        raise Invalid(said, details={"role": "for people"})


def _settle_expired(user: User, now: datetime) -> None:
    """Mark what has expired as ended at its expiry, so that the role can be given again. It gave no right any more."""
    for binding in user.bindings.filter(ended_at=None, expires_at__lte=now):
        RoleBinding.objects.filter(pk=binding.pk).update(ended_at=binding.expires_at, end_reason=EXPIRED)


def _same(held: RoleBinding, expires_at: datetime | None) -> RoleBinding:
    if held.expires_at != expires_at:
        until = f" until {held.expires_at:%Y-%m-%d %H:%M} UTC" if held.expires_at else " without an end"
        raise Conflict(f"{held.user} is {held.role_label} for {scope_label(held.scope)} already,{until}.")
    return held


def _open(binding: RoleBinding, now: datetime) -> RoleBinding:
    """The binding as it is now, its person's row locked. Raises Conflict when it has ended or expired."""
    user = _locked(binding.user)
    fresh = user.bindings.get(pk=binding.pk)
    if not fresh.is_in_force(now):
        said = "has ended" if fresh.ended_at else "has expired"
        raise Conflict(f"This binding {said}; what is over is not changed. Give the role anew.")
    return fresh


@transaction.atomic
def role_extend(
    *, actor: Actor, binding: RoleBinding, reason: str, expires_at: datetime | None, expected: datetime | None
) -> RoleBinding:
    """Let a binding hold until a later moment, or without an end. The same moment twice is harmless.

    `expected` is the expiry that whoever asks has seen. Raises Conflict when the binding is over or that is not its
    expiry any more; Invalid for an earlier moment or a missing reason; Forbidden as `role_bind` does.
    """
    now = clock.now()
    binding = _open(binding, now)
    if why := why_not_to(actor, binding.user):
        raise Forbidden(why)
    reason = _reason_checked(reason)
    if binding.issuer:
        raise Invalid(
            f"Sign-on {binding.issuer} gave this role and extends it. Give it by hand to let it hold for longer."
        )
    if binding.expires_at == expires_at:
        return binding
    if binding.expires_at != expected:
        raise Conflict("Somebody else changed when this binding expires. Look again, then decide.")
    _check_expiry(expires_at, now)
    if binding.expires_at is None or (expires_at is not None and expires_at < binding.expires_at):
        raise Invalid("A binding can be extended only; to shorten it, end it and give the role anew.")
    RoleBinding.objects.filter(pk=binding.pk).update(expires_at=expires_at)
    binding.expires_at = expires_at
    _changed(actor, "role.extended", binding, reason)
    return binding


@transaction.atomic
def role_unbind(*, actor: Actor, binding: RoleBinding, reason: str) -> RoleBinding:
    """End a binding now; it stays as history, and the record says what does not work any more. Ending what is over is
    harmless.

    Raises Invalid without a reason, and Conflict for the last administrator whose role does not expire.
    """
    actor.require(Action.PEOPLE_MANAGE)
    now = clock.now()
    user = _locked(binding.user)
    reason = _reason_checked(reason)
    binding = user.bindings.get(pk=binding.pk)
    if binding.is_in_force(now):
        _check_somebody_left(binding, now)
        _end(actor, binding, reason, now)
    return binding


def _check_somebody_left(binding: RoleBinding, now: datetime) -> None:
    lasting = administrators(now).filter(expires_at=None)
    # Locked in one order, so that two administrators cannot end each other's role at the same time.
    rows = list(lasting.select_for_update(of=("self",)).order_by("pk").values_list("pk", flat=True))
    if rows == [binding.pk]:
        raise Conflict("This is the last administrator's role that does not expire. Give it to somebody else first.")


def _end(actor: Actor, binding: RoleBinding, reason: str, now: datetime) -> None:
    did_not_work = consequences()
    RoleBinding.objects.filter(pk=binding.pk).update(ended_at=now, ended_by=actor.user, end_reason=reason)
    binding.ended_at, binding.ended_by, binding.end_reason = now, actor.user, reason
    _changed(actor, "role.unbound", binding, reason, **consequences_since(did_not_work))


@transaction.atomic
def scope_unbind(*, actor: Actor, scope: str, reason: str) -> int:
    """End all open bindings to a scope because it names another thing from now on; return how many.

    For parts of mlorch that see such a change. Doing it twice is harmless.
    """
    now = clock.now()
    holders = RoleBinding.objects.in_force(now).filter(scope=scope).values("user")
    people = [_locked(user) for user in User.objects.filter(pk__in=holders).order_by("pk")]
    ending = [binding for user in people for binding in user.bindings.in_force(now).filter(scope=scope)]
    for binding in ending:
        _end(actor, binding, reason[:REASON_MAX_CHARS], now)
    return len(ending)


@transaction.atomic
def issuer_roles_set(
    *, actor: Actor, user: User, issuer: str, wanted: set[tuple[Role, str]], expires_at: datetime
) -> None:
    """Let `user` hold by an issuer's word the roles in `wanted` until `expires_at`, and no others by it.

    What was given by hand stays. Scopes of nothing that exists give nothing. Twice is harmless.
    """
    user, now = _locked(user), clock.now()
    _settle_expired(user, now)
    nowhere = missing_scopes(scope for _, scope in wanted)
    left = {(role.value, scope) for role, scope in wanted if scope not in nowhere}
    for binding in user.bindings.filter(ended_at=None, issuer=issuer):
        if (binding.role, binding.scope) not in left:
            _end(actor, binding, f"Sign-on {issuer} names no group any more that gives it.", now)
            continue
        left.discard((binding.role, binding.scope))
        if binding.expires_at is None or expires_at - binding.expires_at > RENEWED_EVERY:
            RoleBinding.objects.filter(pk=binding.pk).update(expires_at=expires_at)
            binding.expires_at = expires_at
            _changed(actor, "role.extended", binding, f"Sign-on {issuer} names a group that gives it.")
    for role, scope in sorted(left):
        binding = RoleBinding.objects.create(
            user=user,
            role=role,
            scope=scope,
            reason=f"Sign-on {issuer} names a group that gives it.",
            given_at=now,
            expires_at=expires_at,
            issuer=issuer,
        )
        _changed(actor, "role.bound", binding, binding.reason)


@transaction.atomic
def issuer_roles_end(*, actor: Actor, issuer: str, still: set[tuple[str, str]], reason: str) -> int:
    """End what an issuer's word gave and its rules, which give `still`, do not give any more; return how many."""
    now = clock.now()
    holders = RoleBinding.objects.in_force(now).filter(issuer=issuer).values("user")
    people = [_locked(user) for user in User.objects.filter(pk__in=holders).order_by("pk")]
    ending = [
        binding
        for user in people
        for binding in user.bindings.in_force(now).filter(issuer=issuer)
        if (binding.role, binding.scope) not in still
    ]
    for binding in ending:
        _end(actor, binding, reason, now)
    return len(ending)
