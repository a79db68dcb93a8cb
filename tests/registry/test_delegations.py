"""The power to decide, delegated: who may hold it, that nobody counts twice, and what ends it."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
import time_machine

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import RoleBinding
from mlorch_site.accounts.roles import Role
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from registry.approvals.delegations import delegation_end, delegation_give, held_delegations, stand_ins
from registry.approvals.selectors import approval_progress, waiting_for
from registry.approvals.services import approval_decide, approval_open, approval_recheck
from registry.models import ApprovalRequest, Delegation
from registry.selectors import current_policy
from registry.services import environment_create
from tests.factories import make_person, take_role

RULES = [{"role": "reviewer", "count": 2}]
ENGINE = Actor.controller("test")
CONTENT = {"plan": "a"}


@pytest.fixture
def board(people) -> SimpleNamespace:
    """Three reviewers, bob, carol and dave, and a request that wants two of them."""
    environment = environment_create(actor=ENGINE, name="production", position=0, approval_rules=RULES)
    environment_create(actor=ENGINE, name="staging", position=1, approval_rules=[])
    named = {name: make_person(name, [(Role.REVIEWER, "*")]) for name in ("bob", "carol", "dave")}
    request = approval_open(
        actor=ENGINE,
        subject_kind="release",
        subject_id="r1",
        title="tumours version 2 to production/clinic",
        url="/",
        content=CONTENT,
        policy=current_policy(environment),
        scopes=["environment:production", "model:tumours"],
        requester=people.emma.user,
        excluded=[],
    )
    return SimpleNamespace(request=request, people=people, **named)


def give(giver, delegate, scopes=("environment:production",), days=7, **changes) -> Delegation:
    now = clock.now()
    values = {"starts_at": now, "ends_at": now + timedelta(days=days), "reason": "on holiday", **changes}
    return delegation_give(
        actor=actor_for_user(giver.user), delegate=delegate.user.username, scopes=list(scopes), **values
    )


def decide(board, person, for_whom="", kind="approve", comment="") -> ApprovalRequest:
    actor = actor_for_user(person.user)
    approval_decide(actor=actor, request=board.request, kind=kind, comment=comment, on_behalf_of=for_whom)
    return ApprovalRequest.objects.get(pk=board.request.pk)


def given_by(request) -> list[str]:
    return approval_progress(request).rules[0].given_by


def test_decide__for_somebody_else__counts_as_them_and_is_recorded_so(board):
    delegation = give(board.carol, board.bob)
    request = decide(board, board.bob, "carol")
    assert given_by(request) == ["bob for carol"]
    assert request.decisions.get().roles == ["reviewer"]
    record = AuditRecord.objects.get(action="approval.decided")
    assert (record.actor, record.on_behalf_of, record.data["delegation"]) == ("bob", "carol", str(delegation.pk))
    assert decide(board, board.dave).status == "approved"
    assert approval_recheck(ApprovalRequest.objects.get(), CONTENT, clock.now()) == ""


def test_decide__for_oneself_and_for_somebody__one_person_counts_once(board):
    give(board.carol, board.bob)
    decide(board, board.bob)
    request = decide(board, board.bob, "carol")
    assert (request.status, given_by(request)) == ("open", ["bob for carol"])


def test_decide__two_people_with_one_power__count_once(board):
    give(board.carol, board.bob)
    give(board.carol, board.dave)
    decide(board, board.bob, "carol")
    request = decide(board, board.dave, "carol")
    assert (request.status, given_by(request)) == ("open", ["dave for carol"])
    assert given_by(decide(board, board.carol)) == ["carol"], "who comes back decides for themselves"
    assert decide(board, board.carol, kind="request_changes", comment="more").status == "open"
    assert given_by(board.request) == []


def test_decide__two_people_with_two_powers__are_two(board):
    """Dave uses what bob holds himself, and bob what carol holds: two people, two powers."""
    give(board.carol, board.bob)
    give(board.bob, board.dave)
    decide(board, board.bob, "carol")
    assert decide(board, board.dave, "bob").status == "approved"


def test_decide__what_was_delegated_on__gives_nothing(board):
    take_role(board.people.ada.actor, board.bob.user, Role.REVIEWER)
    RoleBinding.objects.create(user=board.bob.user, role=Role.RISK_OFFICER, scope="*")
    give(board.carol, board.bob)
    give(board.bob, board.dave)
    with pytest.raises(Forbidden, match="carol has not given you"):
        decide(board, board.dave, "carol")
    with pytest.raises(Forbidden, match="bob may not decide on this"):
        decide(board, board.dave, "bob")
    assert given_by(decide(board, board.bob, "carol")) == ["bob for carol"], "a risk officer stands in for a reviewer"


def test_decide__requester_in_any_part__forbidden(board):
    emma = board.people.emma
    RoleBinding.objects.create(user=emma.user, role=Role.REVIEWER, scope="*")
    give(emma, board.bob)
    give(board.carol, emma)
    with pytest.raises(Forbidden, match="emma may not decide on this"):
        decide(board, board.bob, "emma")
    with pytest.raises(Forbidden, match="You may not decide on this yourself"):
        decide(board, emma, "carol")


def test_decide__in_another_place_or_before_it_begins__forbidden(board):
    give(board.carol, board.bob, ["environment:staging"])
    with pytest.raises(Forbidden, match="the power to decide for environment staging only"):
        decide(board, board.bob, "carol")
    give(board.dave, board.bob, starts_at=clock.now() + timedelta(hours=1))
    with pytest.raises(Forbidden, match="dave has not given you"):
        decide(board, board.bob, "dave")


@pytest.mark.parametrize(
    ("delegate", "changes", "field"),
    [
        ("carol", {}, "delegate"),
        ("emma", {}, "delegate"),
        ("nobody", {}, "delegate"),
        ("bob", {"scopes": []}, "scopes"),
        ("bob", {"scopes": ["environment:nowhere"]}, "scopes"),
        ("bob", {"days": 93}, "ends_at"),
        ("bob", {"days": -1}, "ends_at"),
        ("bob", {"reason": " "}, "reason"),
    ],
)
def test_give__what_cannot_be__says_at_which_field(board, delegate, changes, field):
    other = SimpleNamespace(user=SimpleNamespace(username=delegate))
    with pytest.raises(Invalid) as error:
        give(board.carol, other, **changes)
    assert list(error.value.details) == [field]
    assert not Delegation.objects.exists()


def test_give__place_that_one_of_the_two_may_not_decide_in__invalid(board):
    for person, field in ((board.carol, "scopes"), (board.bob, "delegate")):
        RoleBinding.objects.filter(user=person.user).update(scope="environment:staging")
        with pytest.raises(Invalid) as error:
            give(board.carol, board.bob)
        assert list(error.value.details) == [field]
        RoleBinding.objects.filter(user=person.user).update(scope="*")


def test_give__twice__is_once_and_ending_twice_too(board):
    now = clock.now()
    first = give(board.carol, board.bob, starts_at=now, ends_at=now + timedelta(days=1))
    assert give(board.carol, board.bob, starts_at=now, ends_at=now + timedelta(days=1)) == first
    for _ in range(2):
        delegation_end(actor=board.bob.actor, delegation=first)
    actions = AuditRecord.objects.filter(action__startswith="delegation").order_by("sequence")
    assert list(actions.values_list("action", "actor")) == [("delegation.given", "carol"), ("delegation.ended", "bob")]
    with pytest.raises(Forbidden):
        delegation_end(actor=board.dave.actor, delegation=first)


def approved_for_carol(board) -> Delegation:
    delegation = give(board.carol, board.bob)
    decide(board, board.bob, "carol")
    assert decide(board, board.dave).status == "approved"
    return delegation


def why(board, now=None) -> str:
    return approval_recheck(ApprovalRequest.objects.get(), CONTENT, now or clock.now())


def test_recheck__ended_run_out_or_a_role_lost__the_approval_does_not_hold(board):
    delegation = approved_for_carol(board)
    assert why(board) == ""
    assert why(board, delegation.ends_at) == "bob for carol approved, and what was delegated has ended since."
    RoleBinding.objects.filter(user=board.bob.user).update(scope="environment:staging")
    assert why(board) == "bob for carol approved, and bob may not decide any more."
    assert (
        held_delegations([delegation], clock.now())[0].powerless
        == "bob may not decide there any more, so it gives nothing."
    )
    RoleBinding.objects.filter(user=board.bob.user).update(scope="*")
    take_role(board.people.ada.actor, board.carol.user, Role.REVIEWER)
    assert why(board) == "carol approved and has lost the role since."
    delegation_end(actor=board.carol.actor, delegation=delegation)
    assert "has ended since" in why(board)


def test_take_back__ones_own_and_what_was_said_for_one(board):
    give(board.carol, board.bob)
    with pytest.raises(Conflict, match="no decision of yours"):
        decide(board, board.bob, kind="take_back")
    decide(board, board.bob, "carol")
    assert given_by(decide(board, board.bob, kind="take_back")) == []
    decide(board, board.bob, "carol")
    assert given_by(decide(board, board.carol, kind="take_back")) == [], "carol takes back what bob said for her"
    decide(board, board.bob)
    assert decide(board, board.dave).status == "approved"
    with pytest.raises(Conflict, match="approved already"):
        decide(board, board.dave, kind="take_back", comment="too late")


def test_take_back__of_what_was_said_for_somebody__leaves_what_others_say_for_oneself(board):
    give(board.carol, board.bob)
    give(board.bob, board.dave)
    decide(board, board.dave, "bob")
    decide(board, board.bob, kind="take_back")
    assert given_by(board.request) == []
    decide(board, board.dave, "bob")
    assert given_by(board.request) == ["dave for bob"]


def test_waiting__for_those_who_decide_for_others__until_they_did(board):
    """Mona holds no role that decides for herself here, and so none for others either."""
    request = board.request
    take_role(board.people.ada.actor, board.bob.user, Role.REVIEWER)
    RoleBinding.objects.create(user=board.bob.user, role=Role.RISK_OFFICER, scope="*")
    assert list(waiting_for(actor_for_user(board.bob.user))) == []
    give(board.carol, board.bob)
    assert list(waiting_for(actor_for_user(board.bob.user))) == [request]
    assert stand_ins(["carol"], request.scopes, set(), clock.now()) == {"carol": ["bob"]}
    decide(board, board.bob, "carol")
    assert list(waiting_for(actor_for_user(board.bob.user))) == []


def test_decide__after_its_time__forbidden(board):
    delegation = give(board.carol, board.bob)
    with time_machine.travel(delegation.ends_at, tick=False), pytest.raises(Forbidden, match="has not given you"):
        decide(board, board.bob, "carol")
