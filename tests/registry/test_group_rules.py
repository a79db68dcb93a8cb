"""Approval rules that ask for somebody of a group: who counts, when it is refused, and what is frozen."""

import pytest
from django.contrib.auth.models import Group

from mlorch_site.accounts.absences import absence_say
from mlorch_site.accounts.groups import member_remove
from mlorch_site.accounts.roles import Role
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Forbidden, Invalid
from registry.approvals.electorate import approval_outlook, who_may_decide
from registry.approvals.rules import evaluate
from registry.approvals.selectors import waiting_for, why_cannot_decide
from registry.approvals.services import approval_decide, approval_open, approval_recheck
from registry.policy_fields import check_policy
from registry.policy_sentences import field_words
from registry.protection import loosens
from registry.selectors import current_policy
from registry.services import environment_create, policy_revise
from tests.factories import make_person, take_role
from tests.registry.test_policies import ENGINE
from tests.registry.test_protection import STRICT

BOARD = {"group": "board", "count": 1, "name": "Medical"}
REVIEWER = {"role": "reviewer", "count": 1}


@pytest.fixture
def board(people):
    """A group of a reviewer, an engineer, and a reviewer of another environment."""
    group = Group.objects.create(name="board")
    make_person("rolf", [(Role.REVIEWER, "environment:staging")])
    group.user_set.add(people.rita.user, people.emma.user)
    group.user_set.add(*type(people.rita.user).objects.filter(username="rolf"))
    return group


@pytest.fixture
def environment(board):
    return environment_create(actor=ENGINE, name="production", position=2, approval_rules=[BOARD])


def ask(environment, people, rules=None):
    if rules is not None:
        policy_revise(actor=people.ada.actor, environment=environment, approval_rules=rules)
    return approval_open(
        actor=ENGINE,
        subject_kind="release",
        subject_id="r1",
        title="tumours version 2 to production/clinic",
        url="/",
        content={"plan": "a"},
        policy=current_policy(environment),
        scopes=["environment:production", "model:tumours"],
        requester=people.mona.user,
        excluded=[],
    )


def decide(person, request):
    return approval_decide(actor=person.actor, request=request, kind="approve", comment="")


def test_evaluate__group_and_role__one_person_once_over_named_rules():
    both = [BOARD, {**REVIEWER, "name": "Second pair of eyes"}]
    keys = {"rita": ["group:board", "reviewer"]}

    assert evaluate(both, keys).missing == "Needs 1 more Reviewer (Second pair of eyes)."
    assert evaluate(both, {**keys, "oscar": ["group:board"]}).met
    assert [rule.label for rule in evaluate(both, {}).rules] == [
        "Medical: 1 of the group board",
        "Second pair of eyes: 1 Reviewer",
    ]
    assert (
        evaluate([{**REVIEWER, "name": "a"}, {**REVIEWER, "name": "b"}], keys).missing == "Needs 1 more Reviewer (b)."
    )


def test_decision__of_a_member_who_may_decide__counts_and_freezes_the_group(environment, people):
    request = ask(environment, people)
    refused = "The policy asks for a member of the group board, which you are not."

    assert who_may_decide(request) == {"group:board": ["rita"]}
    assert why_cannot_decide(people.oscar.actor, request) == refused
    assert "This needs the role" in why_cannot_decide(people.emma.actor, request)
    assert [list(waiting_for(person.actor)) for person in (people.rita, people.oscar)] == [[request], []]
    with pytest.raises(Forbidden):
        decide(people.emma, request)
    assert decide(people.rita, request).roles == ["group:board", "reviewer"]
    request.refresh_from_db()
    assert approval_recheck(request, {"plan": "a"}, clock.now()) == ""


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("group", "rita approved and has left the group board since."),
        ("role", "rita approved and has lost the role and has left the group board since."),
    ],
)
def test_recheck__left_the_group_or_lost_the_role__does_not_hold(environment, board, people, what, said):
    request = ask(environment, people)
    decide(people.rita, request)
    request.refresh_from_db()
    if what == "group":
        member_remove(actor=people.ada.actor, group=board, user=people.rita.user, reason="left")
        assert "Nobody can approve a release to production any more" in str(AuditRecord.objects.latest("sequence").data)
    else:
        take_role(people.ada.actor, people.rita.user, Role.REVIEWER)
    assert approval_recheck(request, {"plan": "a"}, clock.now()) == said


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ([{"group": "nobody-made-it", "count": 1}], "There is no group nobody-made-it"),
        ([{"group": "board", "count": 3}], "3 of the group board are asked for, and 1 person in it may approve"),
        (
            [BOARD, {**BOARD, "name": "Other"}, {**REVIEWER, "count": 1}],
            "3 people are asked for in all, and 1 count for",
        ),
    ],
)
def test_revise__group_that_is_not_or_is_too_small__refused_at_the_field(environment, people, rules, problem):
    with pytest.raises(Invalid, match=problem) as error:
        policy_revise(actor=people.ada.actor, environment=environment, approval_rules=rules)
    assert set(error.value.details) == {"approval_rules"}


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ([{"role": "reviewer", "group": "board", "count": 1}], "has the keys"),
        ([{"count": 1}], "has the keys"),
        ([{"group": " board", "count": 1}], "a group has 1 to"),
        ([{"group": 3, "count": 1}], "a group has 1 to"),
        ([{**REVIEWER, "name": ""}], "a name has 1 to"),
        ([{**REVIEWER, "name": "a"}, {**BOARD, "name": "a"}], "the same name"),
        ([REVIEWER, REVIEWER], "named twice"),
        ([{"group": "board", "count": 1}] * 2, "named twice"),
        ([{"group": "board", "count": 0}], "whole number"),
    ],
)
def test_rules__senseless__said(rules, problem):
    with pytest.raises(Invalid, match=problem):
        check_policy({"approval_rules": rules})


def test_loosens__groups__counted_over_named_rules():
    before = {**STRICT, "approval_rules": [{**BOARD, "count": 2}, {**BOARD, "name": "Other"}]}
    after = {**before, "approval_rules": [{**BOARD, "count": 2}]}

    assert loosens(before, after) == ["Only 2 instead of 3 would have to approve of the group board."]
    assert loosens(after, {**after, "approval_rules": [REVIEWER]}) == [
        "Nobody of the group board would have to approve."
    ]
    assert loosens(after, {**after, "approval_rules": [{"group": "board", "count": 2}]}) == []
    assert field_words("approval_rules", [BOARD, REVIEWER])[0] == "1 of the group board (Medical) has to approve."


def test_outlook__who_is_absent__said_until_when_and_warned_where_nobody_else_is(environment, people):
    today = clock.now().date()
    absence_say(actor=people.rita.actor, first_day=today, last_day=today, note="secret")
    rules = [BOARD, {"role": "risk_officer", "count": 1}]
    outlook = approval_outlook(rules, ["environment:production"], {people.mona.user.pk})

    assert [[person.said for person in rule.people] for rule in outlook.rules] == [
        [f"rita (absent until {today})"],
        ["oscar"],
    ]
    assert outlook.warnings == [f"Medical: 1 of the group board: only with people who are absent (rita until {today})."]
    alone = approval_outlook(rules, ["environment:production"], {people.oscar.user.pk, people.rita.user.pk})
    assert [bool(rule.problem) for rule in alone.rules] == [True, True]


def test_outlook__each_rule_could_be_met_but_not_together__said(environment, people):
    rules = [REVIEWER, {**BOARD, "name": "Other"}]
    outlook = approval_outlook(rules, ["environment:production"], set())

    assert [rule.problem for rule in outlook.rules] == ["", ""]
    assert outlook.warnings == ["It could not be approved: 2 people are asked for in all, and 1 count for them."]
