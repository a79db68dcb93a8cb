"""Only the revision in force can be revised, and only by whoever has seen it."""

import json
import re

import pytest
from django.urls import reverse

from mlorch_site.accounts.roles import Role
from mlorch_site.audit.models import AuditRecord
from registry import admin as policy_admin
from registry.models import Environment, Policy
from registry.selectors import current_policy
from registry.services import environment_create, policy_revise
from registry.services.environments import RevisedMeanwhile
from tests.factories import make_person
from tests.registry.test_policies import ENGINE, form_of
from tests.support.live import signed_in

RULES = [{"role": "reviewer", "count": 1}]


@pytest.fixture
def environment(people):
    make_person("bob", [(Role.ADMINISTRATOR, "*")])
    return environment_create(actor=ENGINE, name="staging", position=1, approval_rules=RULES)


@pytest.fixture
def browser(people):
    return signed_in("ada")


def address(policy: Policy) -> str:
    return reverse("admin:registry_policy_change", args=[policy.pk])


def text_of(answer) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def holds(before: int, after: int) -> str:
    words = "An approval is waited for, and holds,"
    return f"Approval days {words} {before} days. {words} {after} days."


def revisions(environment: Environment) -> list[tuple[int, int]]:
    return list(environment.policies.order_by("revision").values_list("revision", "approval_days"))


def test_service__based_on_what_is_not_in_force__conflict_with_who_and_when(environment, people):
    policy_revise(actor=people.ada.actor, environment=environment, based_on=1, approval_days=7)
    with pytest.raises(RevisedMeanwhile, match=r"Revision 2 .* published by ada .* started from revision 1") as error:
        policy_revise(actor=people.ada.actor, environment=environment, based_on=1, approval_days=8)
    assert error.value.details == {"based_on": 1, "in_force": 2, "published_by": "ada"}
    assert revisions(environment) == [(1, 30), (2, 7)]


def test_service__note__belongs_to_one_revision(environment, people):
    policy_revise(actor=people.ada.actor, environment=environment, approval_days=7, note="shorter")
    assert policy_revise(actor=people.ada.actor, environment=environment, approval_days=8).note == ""


def test_page__of_an_old_revision__can_be_read_only_and_tells_what_followed(environment, people, browser):
    old = current_policy(environment)
    policy_revise(actor=people.ada.actor, environment=environment, approval_days=7)
    answer = browser.get(address(old))
    text = text_of(answer)

    assert 'name="approval_days"' not in answer.content.decode()
    assert 'name="_save"' not in answer.content.decode()
    assert "Revision 2 is in force" in text
    assert "replaced at" in text
    assert holds(30, 7) in text
    assert 'name="approval_days"' in browser.get(address(current_policy(environment))).content.decode()


@pytest.mark.parametrize("told", [{"based_on": 1}, {}, {"based_on": ""}])
def test_form__another_revision_came_into_force__conflict_and_the_input_is_kept(environment, people, browser, told):
    opened = current_policy(environment)
    policy_revise(actor=people.ada.actor, environment=environment, approval_days=7, note="shorter for the audit")
    answer = browser.post(address(opened), form_of(opened, approval_days=99, note="my own words", **told))
    text, page = text_of(answer), answer.content.decode()

    assert answer.status_code == 409
    assert revisions(environment) == [(1, 30), (2, 7)]
    assert "ada published revision 2 at" in text
    assert "shorter for the audit" in text
    assert holds(30, 7) in text
    assert holds(7, 99) in text
    assert 'value="99"' in page
    assert 'value="my own words"' in page


def test_form__sent_again_after_the_conflict__is_a_change_of_what_was_shown(environment, people, browser):
    opened = current_policy(environment)
    policy_revise(actor=people.ada.actor, environment=environment, approval_days=7)
    answer = browser.post(address(opened), form_of(opened, approval_days=99, based_on=1))
    carried = answer.context["adminform"].form["based_on"].value()
    assert carried == "2"
    assert browser.post(address(opened), form_of(opened, approval_days=99, based_on=carried)).status_code == 302
    assert revisions(environment)[-1] == (3, 99)
    # A third one that came meanwhile is not overwritten by the same form either.
    assert browser.post(address(opened), form_of(opened, approval_days=1, based_on=carried)).status_code == 409
    assert len(revisions(environment)) == 3


def test_form__the_other_one_comes_between_look_and_lock__one_revision_and_one_conflict(
    environment, people, browser, monkeypatch
):
    opened = current_policy(environment)
    policy_revise(actor=people.ada.actor, environment=environment, approval_days=7)
    look, seen = policy_admin.newest_policy, [opened]
    monkeypatch.setattr(policy_admin, "newest_policy", lambda place: seen.pop() if seen else look(place))
    answer = browser.post(address(opened), form_of(opened, approval_days=99, based_on=1))

    assert seen == []
    assert answer.status_code == 409
    assert "ada published revision 2 at" in text_of(answer)
    assert 'value="99"' in answer.content.decode()
    assert revisions(environment) == [(1, 30), (2, 7)]


def test_two_saves__of_one_form__make_one_revision_and_one_conflict(environment, people, browser):
    opened = current_policy(environment)
    statuses = [
        signed_in(name).post(address(opened), form_of(opened, approval_days=days, based_on=1)).status_code
        for name, days in (("ada", 7), ("ada", 8))
    ]
    assert statuses == [302, 409]
    assert revisions(environment) == [(1, 30), (2, 7)]
    assert AuditRecord.objects.filter(action="policy.revised", actor="ada").count() == 1


def test_add__for_an_environment_that_has_a_policy__is_no_other_road(environment, people, browser):
    assert browser.get(reverse("admin:registry_policy_add")).status_code == 403
    Environment.objects.create(name="lab", position=9)
    answer = browser.post(reverse("admin:registry_policy_add"), form_of(current_policy(environment), approval_days=1))
    assert answer.status_code == 200
    assert "environment" in answer.context["adminform"].form.errors
    assert revisions(environment) == [(1, 30)]


def test_add__for_an_environment_without_a_policy__is_its_first(environment, people, browser):
    lab = Environment.objects.create(name="lab", position=9)
    form = form_of(current_policy(environment), environment=lab.pk, based_on=0)
    assert browser.post(reverse("admin:registry_policy_add"), form).status_code == 302
    assert current_policy(lab).revision == 1


def test_form__more_reviewers_than_exist__says_so_at_the_field(environment, people, browser):
    opened = current_policy(environment)
    many = json.dumps([{"role": "reviewer", "count": 9}])
    answer = browser.post(address(opened), form_of(opened, approval_rules=many, based_on=1))
    [error] = answer.context["adminform"].form.errors["approval_rules"]
    assert error.startswith("9 Reviewers are asked for, and 1 person holds that role for staging.")


def test_form__only_just_met__saved_and_told(environment, people, browser):
    opened = current_policy(environment)
    both = json.dumps([*RULES, {"role": "risk_officer", "count": 1}])
    answer = browser.post(address(opened), form_of(opened, approval_rules=both, based_on=1), follow=True)
    assert current_policy(environment).revision == 2
    assert "can only just be met" in text_of(answer)


@pytest.mark.parametrize("page", ["registry_policy_delete", "registry_environment_delete"])
def test_admin__nothing_is_deleted(environment, people, browser, page):
    pk = current_policy(environment).pk if "policy" in page else environment.pk
    assert browser.post(reverse(f"admin:{page}", args=[pk]), {"post": "yes"}).status_code == 403


def test_admin__environment__can_be_looked_at_and_not_changed(environment, people, browser):
    where = reverse("admin:registry_environment_change", args=[environment.pk])
    assert browser.get(where).status_code == 200
    assert browser.post(where, {"name": "other", "position": 1, "aliases": ""}).status_code == 403
