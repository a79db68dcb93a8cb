"""Approval rules that nobody can meet are refused; those that can only just be met are told."""

import pytest
from django.urls import reverse

from mlorch_site.accounts.models import RoleBinding, User
from mlorch_site.accounts.roles import Role
from mlorch_site.accounts.services import person_edit
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Invalid
from registry.approvals.electorate import rules_warning, unmeetable_rules, who_may_decide
from registry.approvals.rules import is_barely_met, why_nobody_can
from registry.approvals.services import approval_decide, approval_open
from registry.selectors import current_policy
from registry.services import environment_create, policy_revise
from tests.factories import make_person, take_role
from tests.registry.test_policies import ENGINE
from tests.support.live import signed_in


def rules(**counts: int) -> list[dict[str, object]]:
    return [{"role": role, "count": count} for role, count in counts.items()]


@pytest.fixture
def environment(people):
    return environment_create(actor=ENGINE, name="production", position=2, approval_rules=rules(reviewer=1))


@pytest.mark.parametrize(
    ("wanted", "people", "reason"),
    [
        (rules(reviewer=1), {"rita": {"reviewer"}}, ""),
        ([], {}, ""),
        (rules(reviewer=9), {"rita": {"reviewer"}}, "9 Reviewers are asked for, and 1 person holds that role"),
        (rules(reviewer=1), {}, "1 Reviewer is asked for, and nobody holds that role"),
        (
            rules(reviewer=3),
            {"a": {"reviewer"}, "b": {"reviewer"}},
            "3 Reviewers are asked for, and 2 people hold that role",
        ),
        (
            rules(reviewer=1, risk_officer=1),
            {"rita": {"reviewer", "risk_officer"}, "vik": {"viewer"}},
            "2 people are asked for in all, and 1 hold the roles",
        ),
        (rules(reviewer=1, risk_officer=1), {"rita": {"reviewer", "risk_officer"}, "oscar": {"risk_officer"}}, ""),
    ],
)
def test_why_nobody_can__names_how_many_there_are(wanted, people, reason):
    assert why_nobody_can(wanted, people) == reason


def test_is_barely_met__one_more_than_needed__is_enough():
    one, two = {"a": {"reviewer"}}, {"a": {"reviewer"}, "b": {"reviewer"}}
    assert is_barely_met(rules(reviewer=1), one)
    assert not is_barely_met(rules(reviewer=1), two)
    assert is_barely_met(rules(reviewer=2), two)
    assert not is_barely_met(rules(reviewer=2), one)


def test_revise__more_than_exist__refused_with_how_many(environment, people):
    with pytest.raises(
        Invalid, match="9 Reviewers are asked for, and 1 person holds that role for production"
    ) as error:
        policy_revise(actor=people.ada.actor, environment=environment, approval_rules=rules(reviewer=9))
    assert "approval_rules" in error.value.details
    assert current_policy(environment).revision == 1


@pytest.mark.parametrize(
    ("scope", "active", "is_enough"),
    [
        ("*", True, True),
        ("environment:production", True, True),
        ("model:tumours", True, True),
        ("environment:staging", True, False),
        ("*", False, False),
    ],
)
def test_revise__people_count_by_scope_and_only_active_ones(environment, people, scope, active, is_enough):
    second = make_person("rolf", [(Role.REVIEWER, scope)])
    User.objects.filter(pk=second.user.pk).update(is_active=active)
    values = {"actor": people.ada.actor, "environment": environment, "approval_rules": rules(reviewer=2)}
    if is_enough:
        assert policy_revise(**values).revision == 2
        return
    with pytest.raises(Invalid, match="2 Reviewers are asked for, and 1 person holds"):
        policy_revise(**values)


def test_revise__rules_that_became_impossible_are_left__another_field_can_be_changed(environment, people):
    take_role(people.ada.actor, people.rita.user, Role.REVIEWER)
    assert policy_revise(actor=people.ada.actor, environment=environment, approval_days=7).revision == 2


def test_warning__only_just_met_and_of_single_models_only(environment, people):
    assert "can only just be met" in rules_warning(environment, current_policy(environment))
    make_person("rolf", [(Role.REVIEWER, "environment:production")])
    assert rules_warning(environment, current_policy(environment)) == ""
    take_role(people.ada.actor, people.rita.user, Role.REVIEWER)
    take_role(people.ada.actor, User.objects.get(username="rolf"), Role.REVIEWER)
    RoleBinding.objects.create(user=people.rita.user, role=Role.REVIEWER, scope="model:tumours")
    assert "Only releases of models with people of their own" in rules_warning(environment, current_policy(environment))


def test_pages__only_just_met__is_told_where_the_policy_is_read(environment, people):
    assert "can only just be met" in signed_in("vik").get(reverse("environment", args=["production"])).content.decode()
    page = signed_in("ada").get(reverse("policy", args=["production", current_policy(environment).revision]))
    assert "can only just be met" in page.content.decode()


GONE = "Nobody can approve a release to production any more: 1 Reviewer is asked for, and nobody holds that role."


def test_role__taken_from_the_last_one__is_in_the_record(environment, people):
    take_role(people.ada.actor, people.rita.user, Role.REVIEWER)
    assert AuditRecord.objects.get(action="role.unbound").data["consequences"] == [GONE]
    assert unmeetable_rules() == [GONE]


def test_role__taken_from_another__says_nothing(environment, people):
    take_role(people.ada.actor, people.vik.user, Role.VIEWER)
    assert "consequences" not in AuditRecord.objects.get(action="role.unbound").data


def test_person__switched_off__is_in_the_record(environment, people):
    person_edit(actor=people.ada.actor, user=people.rita.user, full_name="", active=False, staff=False)
    assert AuditRecord.objects.get(action="person.edited").data["consequences"] == [GONE]


def test_page__role_taken__warns_at_once(environment, people):
    binding = people.rita.user.bindings.get()
    address = reverse("binding-end", args=["rita", binding.pk])
    ada = signed_in("ada")
    ada.post(address, {"end_reason": "left"})
    page = ada.get(reverse("person", args=["rita"]))

    assert not people.rita.user.bindings.filter(ended_at=None).exists()
    assert GONE in page.content.decode()


@pytest.fixture
def asked(environment, people):
    """A request that a reviewer and a risk officer have to approve, asked for by emma."""
    policy_revise(
        actor=people.ada.actor, environment=environment, approval_rules=rules(reviewer=1, risk_officer=1), based_on=1
    )
    return approval_open(
        actor=ENGINE,
        subject_kind="release",
        subject_id="r1",
        title="tumours version 2 to production/clinic",
        url="/",
        content={"plan": "a"},
        policy=current_policy(environment),
        scopes=["environment:production", "model:tumours"],
        requester=people.emma.user,
        excluded=[],
    )


def test_who_may_decide__by_role__without_requester_excluded_and_those_who_have(asked, people):
    make_person("rolf", [(Role.REVIEWER, "environment:production")])
    make_person("nils", [(Role.REVIEWER, "environment:staging")])
    make_person("tara", [(Role.REVIEWER, "model:tumours"), (Role.RISK_OFFICER, "*")])
    RoleBinding.objects.create(user=people.emma.user, role=Role.REVIEWER, scope="*")
    asked.excluded = [people.oscar.user.pk]
    assert who_may_decide(asked) == {"reviewer": ["rita", "rolf", "tara"], "risk_officer": ["tara"]}

    approval_decide(actor=people.rita.actor, request=asked, kind="approve", comment="")
    assert who_may_decide(asked) == {"risk_officer": ["tara"]}


def test_who_may_decide__expired_or_switched_off__nobody(asked, people):
    RoleBinding.objects.filter(user=people.rita.user).update(expires_at=clock.now())
    User.objects.filter(username="oscar").update(is_active=False)

    assert who_may_decide(asked) == {"reviewer": [], "risk_officer": []}
