"""Which line of a policy rules a model, why, and what changes it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid, NotFound
from registry.lifecycle import RiskTier
from registry.models import Environment, Model, Policy
from registry.policy_lines import covers, ruling_of
from registry.selectors import current_policy, policies_then, policy_for, ruling_policy, rulings, sandbox_levels_min
from registry.services import environment_create, model_edit, policy_revise, rename_declare
from tests.support.live import signed_in

ENGINE = Actor.controller("test")
TIERS = ["", *(tier.value for tier in RiskTier)]
LINES = st.lists(st.tuples(st.sampled_from([None, 1, 2]), st.sampled_from(TIERS)), unique=True, max_size=12)


def line(model: int | None, tier: str) -> Policy:
    return Policy(model_id=model, tier=tier)


@given(lines=LINES, order=st.randoms(use_true_random=False), tier=st.sampled_from(TIERS[1:]))
def test_ruling__any_lines_in_any_order__the_most_specific_that_covers(lines, order, tier):
    rows = [line(*each) for each in [(None, ""), *(each for each in lines if each != (None, ""))]]
    order.shuffle(rows)
    found = ruling_of(rows, 1, tier)
    wanted = next(key for key in [(1, tier), (1, ""), (None, tier), (None, "")] if key in {*lines, (None, "")})
    assert (found.model_id, found.tier) == wanted
    assert all(covers(row, 1, tier) == (row.model_id in (None, 1) and row.tier in ("", tier)) for row in rows)


@given(lines=LINES)
def test_ruling__no_model__only_the_environments_own_line(lines):
    found = ruling_of([line(*each) for each in lines], None, "")
    assert (found is not None) == ((None, "") in lines)
    assert found is None or (found.model_id, found.tier) == (None, "")


@pytest.fixture
def production(people) -> Environment:
    return environment_create(actor=ENGINE, name="production", position=2, gates=["version_ready"])


@pytest.fixture
def model(db) -> Model:
    return Model.objects.create(name="tumours", risk_tier="high", created_at=clock.now(), updated_at=clock.now())


def test_lines__each_more_specific_one_rules_and_says_why(production, model):
    said = []
    for place in ({}, {"tier": "high"}, {"model": model}, {"model": model, "tier": "high"}):
        policy_revise(actor=ENGINE, environment=production, approval_days=7, **place)
        said.append(rulings([production], model)[0].sentence)
    assert said == [
        "Revision 2 of production rules it: no line of production is more specific.",
        "Revision 3 of production for tier high rules it: the model is of tier high.",
        "Revision 4 of production for model tumours rules it: it is written for this model.",
        "Revision 5 of production for model tumours of tier high rules it: it is written for this model, which is of "
        "tier high.",
    ]
    assert current_policy(production).revision == 2
    assert list(Policy.objects.filter(retired_at=None).values_list("revision", flat=True).order_by("revision")) == [
        2,
        3,
        4,
        5,
    ]


def test_line__new__starts_from_what_ruled_and_revises_only_itself(production, model):
    policy_revise(actor=ENGINE, environment=production, tier="high", approval_days=9)
    own = policy_revise(actor=ENGINE, environment=production, model=model, bake_s_min=60)
    assert (own.approval_days, own.gates, own.bake_s_min) == (9, ["version_ready"], 60)
    assert ruling_policy(production, Model(pk=0, risk_tier="low")) == Policy.objects.get(revision=1)


@pytest.mark.parametrize("tier", ["medium", "High", "x" * 9])
def test_line__of_an_unknown_tier_or_a_deleted_model__refused(production, model, tier):
    with pytest.raises(Invalid, match="risk tier is one of low, moderate, high, critical"):
        policy_revise(actor=ENGINE, environment=production, tier=tier)
    Model.objects.filter(pk=model.pk).update(deleted_at=clock.now())
    with pytest.raises(Invalid, match="not in MLflow any more"):
        policy_revise(actor=ENGINE, environment=production, model=model)


def test_model__made_again_under_the_name__its_line_waits_to_be_confirmed(production, model):
    policy_revise(actor=ENGINE, environment=production, sandbox_level_min="full")
    policy_revise(actor=ENGINE, environment=production, model=model, sandbox_level_min="none")
    assert sandbox_levels_min([(production.pk, model)]) == {(production.pk, model.pk): "none"}
    Model.objects.filter(pk=model.pk).update(created_at=clock.now())
    model.refresh_from_db()

    with pytest.raises(Conflict, match="was written before tumours was made again in MLflow"):
        policy_for(production, model)
    assert "made again" in rulings([production], model)[0].sentence
    # What runs meanwhile is held to the strictest of its lines.
    assert sandbox_levels_min([(production.pk, model)]) == {(production.pk, model.pk): "full"}
    again = policy_revise(actor=ENGINE, environment=production, model=model)
    assert policy_for(production, model) == again


def test_tier__that_brings_it_under_another_line__needs_whoever_writes_the_policy(production, model, people):
    policy_revise(actor=ENGINE, environment=production, tier="high", approval_days=1)
    with pytest.raises(Forbidden, match="With the tier low, Revision 1 of production would rule tumours instead of"):
        model_edit(actor=people.emma.actor, model=model, owner="", risk_tier="low")
    emma = signed_in("emma")
    assert emma.post("/models/tumours/edit/", {"owner": "", "risk_tier": "low"}).status_code == 303
    assert "would rule tumours instead" in emma.get("/models/tumours/").content.decode()
    assert Model.objects.get().risk_tier == "high"
    assert model_edit(actor=people.ada.actor, model=model, owner="", risk_tier="low").risk_tier == "low"
    # Between tiers without lines it is nobody else's business.
    assert model_edit(actor=people.emma.actor, model=model, owner="", risk_tier="moderate").risk_tier == "moderate"


def test_past__lines_that_were_in_force_then(production, model):
    before = clock.now()
    policy_revise(actor=ENGINE, environment=production, tier="high")
    between = clock.now()
    policy_revise(actor=ENGINE, environment=production, tier="high")
    assert [policy.revision for policy in policies_then(production, before)] == [1]
    assert [policy.revision for policy in policies_then(production, between)] == [1, 2]
    assert [policy.revision for policy in policies_then(production, clock.now())] == [1, 3]


def test_rename__to_a_model_with_lines_of_its_own__is_no_rename(production, model, people):
    other = Model.objects.create(name="clinic", created_at=clock.now(), updated_at=clock.now())
    policy_revise(actor=ENGINE, environment=production, model=other)
    Model.objects.filter(pk=model.pk).update(deleted_at=clock.now())
    with pytest.raises(Conflict):
        rename_declare(actor=people.ada.actor, missing=model, found=other, expects="", reason="the same")
    assert Policy.objects.get(revision=2).model == other


def test_pages__every_revision_in_sentences__for_whoever_sees_the_environment(production, model, people):
    policy_revise(actor=people.ada.actor, environment=production, tier="high", approval_days=9, note="for the audit")
    vik = signed_in("vik")
    listed = vik.get("/policies/").content.decode()
    assert "tier high" in listed
    assert "for the audit" in listed
    page = vik.get("/policies/production/2/").content.decode()
    for text in ("Revision 2 of production for tier high", "holds, 9 days", "Written by ada", "none came under it"):
        assert text in page
    assert "Revision 2 of production for tier high rules it" in vik.get("/models/tumours/").content.decode()
    assert vik.get("/policies/production/3/").status_code == 404
    assert signed_in("max").get("/policies/production/1/").status_code == 404
    assert "production" not in signed_in("max").get("/policies/").content.decode()


def test_environment__without_a_policy__nothing_rules(people, model):
    lab = Environment.objects.create(name="lab", position=9)
    assert rulings([lab], model) == []
    with pytest.raises(NotFound):
        policy_for(lab, model)


def test_loosened__freeze_of_a_broader_line__is_not_ended_by_a_line_without_it(production, model):
    window = {"kind": "freeze", "name": "Christmas", "zone": "UTC", "starts": "2026-12-24T18:00", "minutes": 60}
    policy_revise(actor=ENGINE, environment=production, protected=True, windows=[window])
    policy_revise(actor=ENGINE, environment=production, model=model, windows=[])
    policy_revise(actor=ENGINE, environment=production, model=model, windows=[{**window, "name": "Audit"}])
    policy_revise(actor=ENGINE, environment=production, model=model, windows=[])
    records = AuditRecord.objects.filter(action="policy.revised").order_by("sequence")
    said = [record.data["loosened"] for record in records if "loosened" in record.data]
    assert said == [["The freeze Audit would end or change."]]
