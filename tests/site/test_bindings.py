"""Roles are given for what exists, hold until they expire or are ended, and stay as history."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from mlorch_site.accounts import bindings
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.bindings import role_bind, role_extend, role_unbind, scope_unbind
from mlorch_site.accounts.models import RoleBinding, User
from mlorch_site.accounts.roles import EVERYWHERE, Action, Role
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.accounts.services import person_edit
from mlorch_site.audit.models import AuditRecord
from mlorch_site.audit.verification import verify
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from mlorch_site.live.models import Event
from mlorch_site.live.topics import RIGHTS
from registry.models import Environment, Model

DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)
PLACE = "environment:production"


@pytest.fixture(autouse=True)
def places(db):
    Environment.objects.create(name="production")
    Environment.objects.create(name="staging")
    Model.objects.create(name="tumours", created_at=clock.now(), updated_at=clock.now())


@pytest.fixture
def at(monkeypatch):
    """A function that holds the clock at a moment."""
    return lambda moment: monkeypatch.setattr(clock, "now", lambda: moment)


def give(people, person="noa", by="ada", **changes):
    values = {"role": Role.REVIEWER, "scope": PLACE, "reason": "on call", "expires_at": None, **changes}
    return role_bind(actor=getattr(people, by).actor, user=getattr(people, person).user, **values)


def may_decide(people, person="noa") -> bool:
    user = User.objects.get(pk=getattr(people, person).user.pk)
    return actor_for_user(user).may(Action.RELEASE_DECIDE, [PLACE])


def acts() -> list[str]:
    return list(AuditRecord.objects.order_by("sequence").values_list("action", flat=True))


def test_role__given__holds_at_once_and_says_by_whom_since_when_and_why(people):
    binding = give(people, expires_at=clock.now() + DAY)

    assert may_decide(people)
    assert (binding.given_by, binding.reason) == (people.ada.user, "on call")
    record = AuditRecord.objects.get()
    assert (record.action, record.reason, record.subject_label) == ("role.bound", "on call", "noa")
    assert record.data["scope"] == PLACE
    assert record.data["to_oneself"] is False
    assert record.data["expires_at"] == binding.expires_at.isoformat()
    assert list(Event.objects.order_by("sequence").values_list("topic", flat=True)) == [
        RIGHTS,
        f"person.{people.noa.user.pk}",
        "people",
    ]
    assert verify().holds


def test_role__given_twice__is_one_binding_and_one_record(people):
    first, second = (give(people, scope=f" {PLACE} ") for _ in range(2))

    assert first == second
    assert acts() == ["role.bound"]


def test_role__given_with_another_expiry__says_what_is_there(people):
    give(people)
    with pytest.raises(Conflict, match="Reviewer for environment production already, without an end"):
        give(people, expires_at=clock.now() + DAY)


@pytest.mark.parametrize(
    "scope",
    [
        *("", "production", "environment:", "environment:galaxy", "environment:Production", "model:lungs"),
        *("team:a", "**", "environment:a\x00", "model:" + "a" * 400),
    ],
)
def test_role__for_what_does_not_exist__is_refused(people, scope):
    with pytest.raises(Invalid) as refused:
        give(people, scope=scope)
    assert "scope" in refused.value.details
    assert not RoleBinding.objects.filter(user=people.noa.user).exists()


def test_role__for_a_model_that_was_deleted__is_refused(people):
    Model.objects.update(deleted_at=clock.now())
    with pytest.raises(Invalid, match="There is no model tumours"):
        give(people, scope="model:tumours")


@pytest.mark.parametrize("reason", ["", "  ", "a" * (bindings.REASON_MAX_CHARS + 1)])
def test_role__without_a_reason__is_refused(people, reason):
    with pytest.raises(Invalid, match="Say why"):
        give(people, reason=reason)


@pytest.mark.parametrize("ahead", [timedelta(0), -DAY, timedelta(days=bindings.BINDING_MAX_DAYS) + INSTANT])
def test_role__expiry_out_of_range__is_refused(people, at, ahead):
    now = clock.now()
    at(now)
    with pytest.raises(Invalid, match="expires in the future"):
        give(people, expires_at=now + ahead)


def test_role__more_than_a_person_may_hold__is_refused(people, monkeypatch):
    monkeypatch.setattr(bindings, "BINDINGS_MAX_PER_PERSON", 1)
    give(people)
    with pytest.raises(Invalid, match="end one first"):
        give(people, scope="environment:staging")


@pytest.mark.parametrize("person", ["vik", "emma", "rita", "oscar", "mona", "max", "noa"])
def test_role__given_extended_or_ended_by_who_may_not__is_forbidden(people, person):
    binding = give(people, expires_at=clock.now() + DAY)
    actor = getattr(people, person).actor
    later = {"expires_at": None, "expected": binding.expires_at, "reason": "more"}
    with pytest.raises(Forbidden, match="Administrator"):
        give(people, by=person, person="vik")
    with pytest.raises(Forbidden, match="Administrator"):
        role_extend(actor=actor, binding=binding, **later)
    with pytest.raises(Forbidden, match="Administrator"):
        role_unbind(actor=actor, binding=binding, reason="mine")
    assert acts() == ["role.bound"]


def test_expiry__to_the_instant__holds_before_and_not_at_it(people, at):
    end = clock.now() + DAY
    binding = give(people, expires_at=end)

    at(end - INSTANT)
    assert may_decide(people)
    assert binding.is_in_force(end - INSTANT)
    at(end)
    assert not may_decide(people)
    assert not binding.is_in_force(end)
    assert not RoleBinding.objects.in_force(end).filter(user=people.noa.user).exists()


def test_expired__role_given_anew__is_another_binding_and_the_first_is_history(people, at):
    end = clock.now() + DAY
    first = give(people, expires_at=end)
    at(end)
    second = give(people)

    first.refresh_from_db()
    assert second != first
    assert (first.ended_at, first.end_reason, first.ended_by) == (end, bindings.EXPIRED, None)
    assert may_decide(people)


def test_expired__neither_extended_nor_ended(people, at):
    end = clock.now() + DAY
    binding = give(people, expires_at=end)
    at(end)
    with pytest.raises(Conflict, match="has expired"):
        role_extend(actor=people.ada.actor, binding=binding, reason="more", expires_at=None, expected=end)
    role_unbind(actor=people.ada.actor, binding=binding, reason="late")

    binding.refresh_from_db()
    assert binding.ended_at is None
    assert acts() == ["role.bound"]


def test_role__ended__gives_no_right_and_stays_as_history(people):
    binding = give(people)
    for _ in range(2):
        role_unbind(actor=people.ada.actor, binding=binding, reason="left the team")

    binding.refresh_from_db()
    assert not may_decide(people)
    assert (binding.ended_by, binding.end_reason) == (people.ada.user, "left the team")
    assert acts() == ["role.bound", "role.unbound"]
    assert give(people) != binding


def test_extend__later_and_without_an_end__recorded(people):
    binding = give(people, expires_at=clock.now() + DAY)
    seen, later = binding.expires_at, binding.expires_at + DAY
    for _ in range(2):
        role_extend(actor=people.ada.actor, binding=binding, reason="longer", expires_at=later, expected=seen)
    role_extend(actor=people.ada.actor, binding=binding, reason="for good", expires_at=None, expected=later)

    binding.refresh_from_db()
    assert binding.expires_at is None
    assert acts() == ["role.bound", "role.extended", "role.extended"]


def test_extend__earlier_or_of_what_does_not_expire__is_refused(people):
    binding = give(people, expires_at=clock.now() + 2 * DAY)
    forever = give(people, scope="environment:staging")
    for row, until in ((binding, clock.now() + DAY), (forever, clock.now() + DAY)):
        with pytest.raises(Invalid, match="extended only"):
            role_extend(actor=people.ada.actor, binding=row, reason="less", expires_at=until, expected=row.expires_at)


def test_extend__of_what_somebody_ended_meanwhile__changes_nothing(people):
    binding = give(people, expires_at=clock.now() + DAY)
    seen_by_the_other = RoleBinding.objects.get(pk=binding.pk)
    role_unbind(actor=people.ada.actor, binding=binding, reason="left")
    with pytest.raises(Conflict, match="has ended"):
        role_extend(
            actor=people.ada.actor,
            binding=seen_by_the_other,
            reason="longer",
            expires_at=None,
            expected=seen_by_the_other.expires_at,
        )
    assert not may_decide(people)


def test_extend__by_two_who_saw_the_same__the_second_looks_again(people):
    binding = give(people, expires_at=clock.now() + DAY)
    seen = binding.expires_at
    role_extend(actor=people.ada.actor, binding=binding, reason="a", expires_at=seen + DAY, expected=seen)
    with pytest.raises(Conflict, match="Somebody else"):
        role_extend(actor=people.ada.actor, binding=binding, reason="b", expires_at=seen + 2 * DAY, expected=seen)


def test_end__of_what_somebody_extended_meanwhile__ends_it(people):
    binding = give(people, expires_at=clock.now() + DAY)
    stale = RoleBinding.objects.get(pk=binding.pk)
    role_extend(actor=people.ada.actor, binding=binding, reason="a", expires_at=None, expected=binding.expires_at)
    role_unbind(actor=people.ada.actor, binding=stale, reason="left")

    assert not may_decide(people)


def test_database__refuses_two_open_bindings_of_one_role_in_one_scope(people):
    binding = give(people)
    with pytest.raises(IntegrityError), transaction.atomic():
        RoleBinding.objects.create(user=binding.user, role=binding.role, scope=binding.scope)


def test_oneself__only_administrator__may_and_it_is_marked(people):
    binding = give(people, person="ada")

    assert binding.is_given_by_oneself
    assert AuditRecord.objects.get().data["to_oneself"] is True


def test_oneself__while_another_administrator_can__is_forbidden(people):
    give(people, person="mona", role=Role.ADMINISTRATOR, scope=EVERYWHERE)
    with pytest.raises(Forbidden, match="Ask another administrator: mona"):
        give(people, person="ada")
    own = RoleBinding.objects.create(
        user=people.ada.user, role=Role.REVIEWER, scope=PLACE, expires_at=clock.now() + DAY
    )
    with pytest.raises(Forbidden, match="mona"):
        role_extend(actor=people.ada.actor, binding=own, reason="more", expires_at=None, expected=own.expires_at)
    role_unbind(actor=people.ada.actor, binding=own, reason="less is allowed")


def test_oneself__the_other_administrator_expired_or_was_switched_off__may(people, at):
    end = clock.now() + DAY
    give(people, person="mona", role=Role.ADMINISTRATOR, scope=EVERYWHERE, expires_at=end)
    at(end)
    assert give(people, person="ada").is_given_by_oneself


def test_last_administrator__whose_role_does_not_expire__keeps_it(people):
    own = people.ada.user.bindings.get()
    give(people, person="mona", role=Role.ADMINISTRATOR, scope=EVERYWHERE, expires_at=clock.now() + DAY)
    with pytest.raises(Conflict, match="last administrator"):
        role_unbind(actor=people.ada.actor, binding=own, reason="bye")
    mona = Actor("person", "mona", people.mona.user, frozenset({(Role.ADMINISTRATOR, EVERYWHERE)}))
    with pytest.raises(Invalid, match="last administrator"):
        person_edit(actor=mona, user=people.ada.user, full_name="", active=False, staff=True)


def test_administrator__not_the_last__can_go(people):
    own = people.ada.user.bindings.get()
    give(people, person="mona", role=Role.ADMINISTRATOR, scope=EVERYWHERE)
    role_unbind(actor=people.ada.actor, binding=own, reason="bye")

    assert own.pk not in RoleBinding.objects.in_force(clock.now()).values_list("pk", flat=True)


def test_scope__names_another_thing_now__all_its_bindings_end(people):
    give(people, scope="model:tumours")
    give(people, person="vik", scope="model:tumours")
    kept = give(people)
    ended = [
        scope_unbind(actor=Actor.controller("mirror"), scope="model:tumours", reason="another model") for _ in range(2)
    ]

    assert ended == [2, 0]
    assert kept in RoleBinding.objects.in_force(clock.now())
    assert acts()[-2:] == ["role.unbound", "role.unbound"]
