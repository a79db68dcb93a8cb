"""What takes protection off is proposed by one administrator and comes into force by another one, or not at all."""

import json
from importlib import import_module

import pytest
from django.apps import apps
from django.urls import reverse

from mlorch_site.accounts.roles import Role
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib.errors import Conflict, Forbidden, IllegalTransition, Invalid
from mlorch_site.live.models import Event
from registry.lifecycle import ProposalStatus
from registry.models import PolicyProposal
from registry.selectors import current_policy
from registry.services import (
    environment_create,
    policy_propose,
    policy_revise,
    proposal_confirm,
    proposal_refuse,
    proposal_withdraw,
)
from registry.services.environments import RevisedMeanwhile
from registry.services.proposal_moves import proposal_move
from tests.factories import make_person, take_role
from tests.registry.test_policies import ENGINE, form_of
from tests.support.live import signed_in

RULES = [{"role": "reviewer", "count": 1}]


@pytest.fixture
def bob(people):
    person = make_person("bob", [(Role.ADMINISTRATOR, "*")])
    person.user.is_staff = True
    person.user.save()
    return person


@pytest.fixture
def production(people, bob):
    return environment_create(
        actor=ENGINE, name="production", position=2, protected=True, approval_rules=RULES, gates=["version_ready"]
    )


def propose(people, production, **fields) -> PolicyProposal:
    given = {"approval_rules": [], **fields}
    return policy_propose(actor=people.ada.actor, environment=production, based_on=1, reason="nobody is there", **given)


def told() -> list[tuple[str, str, str]]:
    rows = AuditRecord.objects.filter(subject_kind="proposal").order_by("sequence")
    return [(row.action, row.actor, row.reason) for row in rows]


@pytest.mark.parametrize("fields", [{"approval_rules": []}, {"protected": False}, {"gates": []}])
def test_revise__takes_protection_off__refused_and_nothing_changes(production, people, fields):
    with pytest.raises(Conflict, match="one administrator proposes this and another one confirms it") as error:
        policy_revise(actor=people.ada.actor, environment=production, **fields)
    assert error.value.code == "needs_confirmation"
    assert current_policy(production).revision == 1


def test_revise__makes_it_stricter__needs_nobody_else(production, people):
    assert policy_revise(actor=people.ada.actor, environment=production, sandbox_level_min="full").revision == 2


def test_propose__is_recorded_announced_and_changes_nothing(production, people):
    proposal = propose(people, production)

    assert current_policy(production).approval_rules == RULES
    assert proposal.loosened == ["No Reviewer would have to approve.", "Nobody would have to approve."]
    assert told() == [("proposal.made", "ada", "nobody is there")]
    assert AuditRecord.objects.get(action="proposal.made").data["changes"] == {"approval_rules": []}
    assert Event.objects.get(kind="policy.proposed").data == {"environment": "production", "status": "open"}


def test_confirm__by_another_administrator__is_the_next_revision(production, people, bob):
    proposal = propose(people, production)
    policy = proposal_confirm(actor=bob.actor, proposal=proposal)
    proposal.refresh_from_db()

    assert (policy.revision, policy.approval_rules, policy.gates, policy.note) == (
        2,
        [],
        ["version_ready"],
        "nobody is there",
    )
    assert (proposal.status, proposal.decided_by, proposal.made) == ("confirmed", "bob", policy)
    assert told()[1:] == [("proposal.confirmed", "bob", "")]
    record = AuditRecord.objects.get(action="policy.revised", actor="bob")
    assert (record.on_behalf_of, record.reason) == ("ada", "nobody is there")


@pytest.mark.parametrize("act", [proposal_confirm, proposal_refuse])
@pytest.mark.parametrize("name", ["ada", "mona", "rita", "vik"])
def test_decide__by_the_proposer_or_without_the_role__forbidden(production, people, act, name):
    proposal = propose(people, production)
    more = {"reason": "no"} if act is proposal_refuse else {}
    with pytest.raises(Forbidden):
        act(actor=getattr(people, name).actor, proposal=proposal, **more)
    assert PolicyProposal.objects.get().status == "open"
    assert current_policy(production).revision == 1


def test_refuse__with_a_reason__ends_it(production, people, bob):
    proposal = propose(people, production)
    with pytest.raises(Invalid):
        proposal_refuse(actor=bob.actor, proposal=proposal, reason=" ")
    proposal_refuse(actor=bob.actor, proposal=proposal, reason="find a reviewer")
    assert told()[1:] == [("proposal.refused", "bob", "find a reviewer")]
    with pytest.raises(Conflict, match=r"refused already\. find a reviewer"):
        proposal_confirm(actor=bob.actor, proposal=proposal)


def test_withdraw__by_the_proposer_only(production, people, bob):
    proposal = propose(people, production)
    with pytest.raises(Forbidden):
        proposal_withdraw(actor=bob.actor, proposal=proposal)
    proposal_withdraw(actor=people.ada.actor, proposal=proposal)
    assert told()[1:] == [("proposal.withdrawn", "ada", "")]
    with pytest.raises(Conflict, match="withdrawn already"):
        proposal_confirm(actor=bob.actor, proposal=proposal)


def test_stale__another_revision_came_into_force__says_which(production, people, bob):
    proposal = propose(people, production)
    policy_revise(actor=bob.actor, environment=production, approval_days=7)
    proposal.refresh_from_db()

    assert (proposal.status, proposal.decision_reason) == ("stale", "Revision 2 came into force meanwhile.")
    assert told()[1:] == [("proposal.stale", "bob", "Revision 2 came into force meanwhile.")]
    with pytest.raises(Conflict, match=r"stale already\. Revision 2 came into force meanwhile"):
        proposal_confirm(actor=bob.actor, proposal=proposal)
    assert current_policy(production).approval_rules == RULES


def test_confirm__twice__is_one_revision(production, people, bob):
    proposal = propose(people, production)
    proposal_confirm(actor=bob.actor, proposal=proposal)
    with pytest.raises(Conflict, match="confirmed already"):
        proposal_confirm(actor=bob.actor, proposal=proposal)
    assert current_policy(production).revision == 2


def test_confirm__proposer_is_no_administrator_any_more__refused(production, people, bob):
    proposal = propose(people, production)
    take_role(bob.actor, people.ada.user, Role.ADMINISTRATOR)
    with pytest.raises(Forbidden, match="ada, who proposed this, may not change policies any more"):
        proposal_confirm(actor=bob.actor, proposal=proposal)
    proposal_refuse(actor=bob.actor, proposal=proposal, reason="ada left")


def test_propose__second_one_while_one_is_open__conflict(production, people, bob):
    propose(people, production)
    with pytest.raises(Conflict, match="ada has proposed a change"):
        policy_propose(actor=bob.actor, environment=production, based_on=1, reason="too", gates=[])


def test_propose__what_is_stale_harmless_or_without_a_reason__refused(production, people):
    with pytest.raises(RevisedMeanwhile):
        policy_propose(actor=people.ada.actor, environment=production, based_on=0, reason="x", gates=[])
    with pytest.raises(Invalid, match="needs no second administrator"):
        propose(people, production, approval_rules=RULES, approval_days=7)
    with pytest.raises(Invalid, match="Say why"):
        policy_propose(actor=people.ada.actor, environment=production, based_on=1, reason="", gates=[])
    with pytest.raises(Forbidden):
        policy_propose(actor=people.mona.actor, environment=production, based_on=1, reason="x", gates=[])


@pytest.mark.parametrize("ended", [status for status in ProposalStatus if status != ProposalStatus.OPEN])
def test_move__of_one_that_has_ended__raises(production, people, ended):
    proposal = propose(people, production)
    PolicyProposal.objects.update(status=ended)
    proposal.refresh_from_db()
    with pytest.raises(IllegalTransition):
        proposal_move(proposal, ProposalStatus.CONFIRMED, actor=people.ada.actor, reason="")


def form(production, **changes):
    policy = current_policy(production)
    return form_of(policy, protected="on", **{"approval_rules": "[]", "based_on": policy.revision, **changes})


def test_admin__last_rule_removed__waits_for_a_second_administrator(production, people, bob):
    where = reverse("admin:registry_policy_change", args=[current_policy(production).pk])
    ada = signed_in("ada")
    silent = ada.post(where, form(production))
    answer = ada.post(where, form(production, note="nobody is there"), follow=True)

    assert "Say why" in silent.context["adminform"].form.errors["note"][0]
    assert answer.redirect_chain == [("/environments/production/", 302)]
    assert current_policy(production).revision == 1
    assert "ada proposed at" in answer.content.decode()
    assert "You proposed this, so another administrator has to decide." in answer.content.decode()
    assert "nobody is there" in ada.get(reverse("admin:registry_policyproposal_changelist")).content.decode()
    assert "waits for another administrator" in ada.get(where).content.decode()


def test_admin__second_proposal__is_refused_and_the_input_is_kept(production, people, bob):
    propose(people, production)
    where = reverse("admin:registry_policy_change", args=[current_policy(production).pk])
    answer = signed_in("bob").post(where, form(production, note="my own words"))
    page = answer.content.decode()
    assert "ada has proposed a change of the policy of production already" in page
    assert "my own words" in page
    assert PolicyProposal.objects.count() == 1


def decide(browser, how, **more):
    proposal = PolicyProposal.objects.get()
    where = reverse("proposal-decide", args=["production", proposal.pk])
    assert browser.post(where, {"how": how, **more}).status_code == 303
    return browser.get(reverse("environment", args=["production"])).content.decode()


def test_page__confirmed_by_the_other_one__is_in_force(production, people, bob):
    propose(people, production)
    assert "another administrator has to decide" in decide(signed_in("ada"), "confirm")
    assert AuditRecord.objects.filter(action="act.refused", actor="ada").exists()
    assert "Revision 2 is in force" in decide(signed_in("bob"), "confirm")
    assert current_policy(production).approval_rules == []


def test_page__refused_withdrawn_or_nonsense(production, people, bob):
    propose(people, production)
    assert "Say why" in decide(signed_in("bob"), "refuse")
    assert "A proposal is decided by" in decide(signed_in("bob"), "eat")
    page = decide(signed_in("bob"), "refuse", reason="find one")
    assert "find one" in page
    assert "already" in decide(signed_in("ada"), "withdraw")


def test_page__without_the_role__shows_the_proposal_and_no_way_to_decide(production, people):
    propose(people, production)
    vik = signed_in("vik")
    page = vik.get(reverse("environment", args=["production"])).content.decode()
    assert "This needs the role Administrator for environment:production." in page
    where = reverse("proposal-decide", args=["production", PolicyProposal.objects.get().pk])
    assert vik.post(where, {"how": "confirm"}).status_code == 403


def test_page__of_another_environment__is_not_found(production, people):
    assert signed_in("max").get(reverse("environment", args=["production"])).status_code == 404
    assert "production" not in signed_in("max").get(reverse("environments")).content.decode()
    assert "protected" in signed_in("vik").get(reverse("environments")).content.decode()


def test_admin__proposal__cannot_be_changed_or_deleted(production, people):
    propose(people, production)
    where = reverse("admin:registry_policyproposal_change", args=[PolicyProposal.objects.get().pk])
    ada = signed_in("ada")
    assert ada.get(where).status_code == 200
    assert ada.post(where, {"status": "confirmed"}).status_code == 403


def test_rest__policy__says_whether_it_is_protected(production, people):
    [row] = signed_in("vik").get("/api/v1/policies").json()["results"]
    assert row["protected"] is True
    assert json.dumps(row)


@pytest.mark.parametrize(
    ("name", "aliases", "is_protected"), [("production", False, True), ("live", True, True), ("staging", False, False)]
)
def test_upgrade__environments_with_real_traffic__are_protected(people, name, aliases, is_protected):
    environment = environment_create(actor=ENGINE, name=name, position=0, aliases=aliases)
    policy_revise(actor=ENGINE, environment=environment, approval_days=7)
    import_module("registry.migrations.0006_protected_policies").protect(apps, None)
    assert set(environment.policies.values_list("protected", flat=True)) == {is_protected}
