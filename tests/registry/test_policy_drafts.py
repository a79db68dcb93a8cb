"""What one administrator writes comes into force by another one's hand where it is protected, on its day, or not."""

from datetime import timedelta
from importlib import import_module

import pytest
import time_machine
from django.apps import apps

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action, Role
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, IllegalTransition, Invalid
from mlorch_site.live.models import Event
from registry.draft_access import draft_for, drafts_visible_to
from registry.lifecycle import POLICY_MOVES, PolicyStage
from registry.models import Model, Policy, PolicyDraft
from registry.policy_lines import PolicyLine
from registry.selectors import current_policy, environments_with_policy
from registry.services import (
    draft_create,
    draft_edit,
    draft_publish,
    draft_rebase,
    draft_return,
    draft_schedule,
    draft_submit,
    draft_take_effect,
    draft_withdraw,
    environment_create,
    policy_revise,
)
from registry.services.environments import RevisedMeanwhile
from registry.services.policy_drafts import draft_move
from registry.tasks import tick, tick_is_due
from tests.factories import make_person, take_role

ENGINE = Actor.controller("test")
RULES = [{"role": "reviewer", "count": 1}]


@pytest.fixture
def bob(people):
    return make_person("bob", [(Role.ADMINISTRATOR, "*")])


@pytest.fixture
def production(people, bob):
    return environment_create(
        actor=ENGINE, name="production", position=2, protected=True, approval_rules=RULES, gates=["version_ready"]
    )


@pytest.fixture
def staging(people):
    return environment_create(actor=ENGINE, name="staging", position=1, approval_rules=RULES)


def begin(people, environment, *, note="nobody is there", **values) -> PolicyDraft:
    values = values or {"approval_rules": []}
    return draft_create(actor=people.ada.actor, line=PolicyLine(environment), values=values, note=note)


def in_review(people, environment, **values) -> PolicyDraft:
    draft = begin(people, environment, **values)
    return draft_submit(actor=people.ada.actor, draft=draft, seen=draft.row_version)


def told() -> list[tuple[str, str]]:
    rows = AuditRecord.objects.filter(subject_kind="policy_draft").order_by("sequence")
    return [(row.action.removeprefix("policy_draft."), row.actor) for row in rows]


def fresh(draft: PolicyDraft) -> PolicyDraft:
    return PolicyDraft.objects.get(pk=draft.pk)


def test_revise__by_one_person_where_it_is_protected__refused_whatever_it_changes(production, people):
    for fields in ({"approval_rules": []}, {"sandbox_level_min": "full"}, {"tier": "high", "gates": []}):
        with pytest.raises(Conflict, match="what one administrator writes, another one publishes") as error:
            policy_revise(actor=people.ada.actor, environment=production, **fields)
        assert error.value.code == "needs_confirmation"
    assert Policy.objects.count() == 1


def test_draft__from_the_first_word_to_force__recorded_announced_and_kept(production, people, bob):
    draft = begin(people, production, note="")
    with pytest.raises(Invalid, match="Say why"):
        draft_submit(actor=people.ada.actor, draft=draft, seen=1)
    draft = draft_edit(actor=people.ada.actor, draft=draft, seen=1, values={"approval_days": 7}, note="nobody is there")
    draft = draft_submit(actor=people.ada.actor, draft=draft, seen=2)
    assert current_policy(production).revision == 1
    assert environments_with_policy(type(production).objects.all()).get().waits
    policy = draft_publish(actor=bob.actor, draft=draft, seen=3)

    assert (policy.revision, policy.approval_rules, policy.approval_days, policy.gates) == (2, [], 7, ["version_ready"])
    assert (policy.note, policy.created_by, policy.published_by) == ("nobody is there", people.ada.user, bob.user)
    assert (fresh(draft).stage, fresh(draft).made) == ("in_force", policy)
    assert Policy.objects.get(revision=1).retired_at == policy.created_at
    assert told() == [("created", "ada"), ("edited", "ada"), ("review", "ada"), ("in_force", "bob")]
    record = AuditRecord.objects.get(action="policy.revised", actor="bob")
    assert (record.on_behalf_of, record.reason) == ("ada", "nobody is there")
    assert "Nobody would have to approve." in record.data["loosened"]
    assert Event.objects.filter(kind="policy.draft").count() == 4


@pytest.mark.parametrize("name", ["ada", "mona", "rita", "vik"])
def test_publish__by_an_author_or_without_the_role__forbidden(production, people, name):
    draft = in_review(people, production)
    with pytest.raises(Forbidden):
        draft_publish(actor=getattr(people, name).actor, draft=draft, seen=draft.row_version)
    assert current_policy(production).revision == 1


def test_publish__by_whoever_changed_the_text_too__forbidden(production, people, bob):
    draft = begin(people, production)
    draft = draft_edit(actor=bob.actor, draft=draft, seen=1, values={"gates": []}, note="both of us")
    draft = draft_submit(actor=bob.actor, draft=draft, seen=2)
    for actor in (people.ada.actor, bob.actor):
        with pytest.raises(Forbidden, match="You wrote this, and production is protected"):
            draft_publish(actor=actor, draft=draft, seen=3)


def test_publish__not_protected__by_its_author(staging, people):
    draft = in_review(people, staging)
    assert draft_publish(actor=people.ada.actor, draft=draft, seen=draft.row_version).revision == 2


def test_publish__a_milder_line_beside_a_protected_one__needs_the_second_person_too(production, people, bob):
    line = PolicyLine(production, tier="low")
    values = {"protected": False, "gates": []}
    draft = draft_create(actor=people.ada.actor, line=line, values=values, note="low is low")
    draft = draft_submit(actor=people.ada.actor, draft=draft, seen=1)
    with pytest.raises(Forbidden, match="is protected"):
        draft_publish(actor=people.ada.actor, draft=draft, seen=2)
    assert draft_publish(actor=bob.actor, draft=draft, seen=2).tier == "low"


def test_publish__author_is_no_administrator_any_more__refused(production, people, bob):
    draft = in_review(people, production)
    take_role(bob.actor, people.ada.user, Role.ADMINISTRATOR)
    with pytest.raises(Forbidden, match="ada, who wrote this, may not write policies any more"):
        draft_publish(actor=bob.actor, draft=draft, seen=2)
    assert draft_withdraw(actor=bob.actor, draft=draft, seen=2, reason="ada left").stage == "withdrawn"


def test_publish__what_was_changed_since_one_looked__conflict(production, people, bob):
    draft = in_review(people, production)
    draft_return(actor=people.ada.actor, draft=draft, seen=2, reason="once more")
    draft_edit(actor=people.ada.actor, draft=draft, seen=3, values={"gates": []}, note="also the gates")
    draft_submit(actor=people.ada.actor, draft=draft, seen=4)
    with pytest.raises(Conflict, match="changed since you looked"):
        draft_publish(actor=bob.actor, draft=draft, seen=2)
    assert current_policy(production).revision == 1


@pytest.mark.parametrize("stage", [PolicyStage.REVIEW, PolicyStage.SCHEDULED, PolicyStage.WITHDRAWN])
def test_edit__of_what_is_no_draft__refused(production, people, stage):
    draft = begin(people, production)
    PolicyDraft.objects.update(stage=stage)
    with pytest.raises(Conflict):
        draft_edit(actor=people.ada.actor, draft=draft, seen=1, values={"gates": []}, note="")


def test_edit__bad_value_or_old_look__nothing_is_written(production, people, bob):
    draft = begin(people, production)
    with pytest.raises(Invalid) as error:
        draft_edit(actor=people.ada.actor, draft=draft, seen=1, values={"approval_days": 0}, note="")
    assert "approval_days" in error.value.details
    draft_edit(actor=bob.actor, draft=draft, seen=1, values={"approval_days": 5}, note="")
    with pytest.raises(Conflict, match="changed since"):
        draft_edit(actor=people.ada.actor, draft=draft, seen=1, values={"approval_days": 6}, note="")
    assert fresh(draft).values["approval_days"] == 5


def test_submit__more_reviewers_than_there_are__refused_with_how_many(production, people):
    draft = begin(people, production, approval_rules=[{"role": "reviewer", "count": 9}])
    with pytest.raises(Invalid, match="9 Reviewers are asked for, and 1 person holds that role"):
        draft_submit(actor=people.ada.actor, draft=draft, seen=1)


def test_submit__model_with_reviewers_of_its_own__those_count_for_its_line_only(production, people):
    model = Model.objects.create(name="tumours", created_at=clock.now(), updated_at=clock.now())
    make_person("rosa", [(Role.REVIEWER, model.scope)])
    two = [{"role": "reviewer", "count": 2}]
    own = draft_create(
        actor=people.ada.actor, line=PolicyLine(production, model), values={"approval_rules": two}, note="two"
    )
    assert draft_submit(actor=people.ada.actor, draft=own, seen=1).stage == "review"
    other = Model.objects.create(name="clinic", created_at=clock.now(), updated_at=clock.now())
    foreign = draft_create(
        actor=people.ada.actor, line=PolicyLine(production, other), values={"approval_rules": two}, note="two"
    )
    with pytest.raises(Invalid, match="2 Reviewers are asked for, and 1 person"):
        draft_submit(actor=people.ada.actor, draft=foreign, seen=1)


def test_two_drafts__second_one_lost_its_base__shown_settled_and_nothing_is_lost(staging, people):
    mine = begin(people, staging, approval_days=9, bake_s_min=60)
    theirs = in_review(people, staging, approval_days=7, gates=["digest_known"])
    draft_publish(actor=people.ada.actor, draft=theirs, seen=2)
    with pytest.raises(RevisedMeanwhile, match=r"Revision 2 .* yours started from revision 1"):
        draft_submit(actor=people.ada.actor, draft=mine, seen=1)
    mine = draft_rebase(actor=people.ada.actor, draft=mine, seen=1)

    assert mine.base == current_policy(staging)
    said = (mine.values["approval_days"], mine.values["bake_s_min"], mine.values["gates"])
    assert said == (9, 60, ["digest_known"])
    mine = draft_submit(actor=people.ada.actor, draft=mine, seen=2)
    assert draft_publish(actor=people.ada.actor, draft=mine, seen=3).revision == 3


def test_two_drafts__both_in_review__only_one_comes_into_force(staging, people):
    drafts = [in_review(people, staging, approval_days=days) for days in (7, 8)]
    draft_publish(actor=people.ada.actor, draft=drafts[0], seen=2)
    with pytest.raises(RevisedMeanwhile):
        draft_publish(actor=people.ada.actor, draft=drafts[1], seen=2)
    with pytest.raises(Conflict, match="in force already"):
        draft_publish(actor=people.ada.actor, draft=drafts[0], seen=2)
    assert Policy.objects.count() == 2


def scheduled(people, bob, production, **values) -> PolicyDraft:
    draft = in_review(people, production, **values)
    day = clock.now() + timedelta(days=2)
    return draft_schedule(actor=bob.actor, draft=draft, seen=2, starts_at=day)


def test_schedule__comes_into_force_on_its_day_and_not_before(production, people, bob):
    draft = scheduled(people, bob, production)
    tick()
    assert current_policy(production).revision == 1
    assert not tick_is_due()
    with time_machine.travel(draft.starts_at + timedelta(seconds=1), tick=False):
        assert tick_is_due()
        tick()
        tick()
    policy = current_policy(production)
    assert (policy.revision, policy.created_by, policy.published_by) == (2, people.ada.user, bob.user)
    assert fresh(draft).stage == "in_force"


@pytest.mark.parametrize("what", ["base", "publisher", "reviewers", "protection"])
def test_schedule__what_held_holds_no_more__goes_back_and_says_why(production, people, bob, what):
    second = [{"role": "risk_officer", "count": 1}]
    draft = scheduled(people, bob, production, approval_rules=second)
    if what == "base":
        policy_revise(actor=ENGINE, environment=production, approval_days=3)
    elif what == "publisher":
        take_role(people.ada.actor, bob.user, Role.ADMINISTRATOR)
    elif what == "reviewers":
        take_role(people.ada.actor, people.oscar.user, Role.RISK_OFFICER)
    else:
        draft.authors.add(bob.user)
    before = current_policy(production)
    assert draft_take_effect(draft=draft, now=draft.starts_at) is None
    back = fresh(draft)
    assert (back.stage, back.starts_at) == ("draft", None)
    assert back.stage_reason.startswith("It did not come into force: ")
    assert current_policy(production) == before
    assert draft_take_effect(draft=draft, now=draft.starts_at or clock.now()) is None


@pytest.mark.parametrize("away", [timedelta(0), timedelta(days=-1), timedelta(days=400)])
def test_schedule__not_within_a_year_to_come__refused(production, people, bob, away):
    draft = in_review(people, production)
    with pytest.raises(Invalid):
        draft_schedule(actor=bob.actor, draft=draft, seen=2, starts_at=clock.now() + away)


def test_end__of_a_line__the_wider_one_rules_again(production, people, bob):
    policy_revise(actor=ENGINE, environment=production, tier="high", approval_days=1)
    line = PolicyLine(production, tier="high")
    with pytest.raises(Invalid, match="Only a line for a model or a tier"):
        draft_create(actor=people.ada.actor, line=PolicyLine(production), ends_line=True)
    draft = draft_create(actor=people.ada.actor, line=line, note="no more", ends_line=True)
    draft = draft_submit(actor=people.ada.actor, draft=draft, seen=1)
    draft_publish(actor=bob.actor, draft=draft, seen=2)
    assert list(Policy.objects.filter(retired_at=None).values_list("revision", flat=True)) == [1]
    assert AuditRecord.objects.get(action="policy.ended").reason == "no more"
    # What is written for the line afterwards is a revision like any other, and its number was never given before.
    assert policy_revise(actor=ENGINE, environment=production, tier="high").revision == 3


def test_end__of_a_line_whose_model_is_gone__is_possible(staging, people):
    model = Model.objects.create(name="tumours", created_at=clock.now(), updated_at=clock.now())
    policy_revise(actor=ENGINE, environment=staging, model=model)
    Model.objects.update(deleted_at=clock.now(), created_at=clock.now())
    draft = draft_create(actor=people.ada.actor, line=PolicyLine(staging, model), note="it is gone", ends_line=True)
    draft = draft_submit(actor=people.ada.actor, draft=draft, seen=1)
    draft_publish(actor=people.ada.actor, draft=draft, seen=2)
    assert list(Policy.objects.filter(retired_at=None).values_list("revision", flat=True)) == [1]


def test_draft__of_a_model_made_again_meanwhile__is_begun_anew(production, people, bob):
    model = Model.objects.create(name="tumours", created_at=clock.now(), updated_at=clock.now())
    draft = draft_create(actor=people.ada.actor, line=PolicyLine(production, model), values={}, note="for it")
    draft = draft_submit(actor=people.ada.actor, draft=draft, seen=1)
    Model.objects.update(created_at=clock.now() + timedelta(hours=1))
    with pytest.raises(Conflict, match="was made again in MLflow"):
        draft_publish(actor=bob.actor, draft=draft, seen=2)


def test_drafts__seen_by_whom_they_concern(production, people, bob):
    writing, waiting = begin(people, production), in_review(people, production)
    assert set(drafts_visible_to(bob.actor)) == {writing, waiting}
    assert list(drafts_visible_to(people.vik.actor)) == [waiting]
    assert not drafts_visible_to(people.max.actor).exists()
    with pytest.raises(Forbidden):
        draft_for(people.vik.actor, waiting.pk, action=Action.POLICY_EDIT)


@pytest.mark.parametrize("stage", list(PolicyStage))
def test_move__that_the_table_does_not_have__raises(production, people, stage):
    draft = begin(people, production)
    draft.stage = stage
    for to in set(PolicyStage) - POLICY_MOVES[stage]:
        with pytest.raises(IllegalTransition):
            draft_move(draft, to, actor=people.ada.actor)


@pytest.mark.parametrize("name", ["emma", "rita", "mona", "vik"])
def test_create__without_the_role__forbidden(production, people, name):
    with pytest.raises(Forbidden):
        draft_create(actor=getattr(people, name).actor, line=PolicyLine(production), note="")
    with pytest.raises(Forbidden):
        draft_create(actor=ENGINE, line=PolicyLine(production), note="")


def test_migration__names_tiers_and_retires_what_was_replaced(people):
    migration = import_module("registry.migrations.0012_policy_lines")
    place = environment_create(actor=ENGINE, name="lab", position=1)
    policy_revise(actor=ENGINE, environment=place)
    model = Model.objects.create(name="old", risk_tier="medium", created_at=clock.now(), updated_at=clock.now())
    Policy.objects.filter(revision=1).update(retired_at=None, tier="low")
    migration.name_tiers(apps, None)
    migration.retire_replaced(apps, None)
    model.refresh_from_db()
    assert model.risk_tier == "moderate"
    first, second = Policy.objects.order_by("revision")
    assert (first.retired_at, second.retired_at) == (second.created_at, None)
