"""Policies: every change is the next revision, checked field by field; the admin and REST show and never bend that."""

import pytest
from django.urls import reverse

from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Forbidden, Invalid, NotFound
from registry.models import Environment, Model, Policy
from registry.selectors import current_policy, environment_for, environments_visible_to, sandbox_levels_min
from registry.services import environment_create, policy_revise
from registry.services.defaults import defaults_create

ENGINE = Actor.controller("test")


@pytest.fixture
def environment(people):
    return environment_create(actor=ENGINE, name="production", position=2, gates=["version_ready"])


def test_revise__writes_the_next_revision_and_keeps_the_rest(environment, people):
    policy = policy_revise(actor=people.ada.actor, environment=environment, approval_days=7)
    assert (policy.revision, policy.approval_days, policy.gates) == (2, 7, ["version_ready"])
    assert current_policy(environment) == policy
    assert Policy.objects.get(revision=1).approval_days == 30
    record = AuditRecord.objects.get(action="policy.revised", actor="ada")
    assert record.data == {"approval_days": 7}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("approval_rules", {"role": "reviewer"}),
        ("approval_rules", [{"role": "reviewer"}]),
        ("approval_rules", [{"role": "viewer", "count": 1}]),
        ("approval_rules", [{"role": "reviewer", "count": 0}]),
        ("approval_rules", [{"role": "reviewer", "count": True}]),
        ("approval_rules", [{"role": "reviewer", "count": 1}] * 2),
        ("gates", ["coffee"]),
        ("gates", "version_ready"),
        ("gates", [[]]),
        ("allowed_strategies", ["big_bang"]),
        ("default_guardrails", [{"metric": "mood", "margin": 0.1}]),
        ("default_guardrails", [{"metric": "error_rate"}]),
        ("default_guardrails", [{"metric": "error_rate", "margin": 2}]),
        ("default_guardrails", [{"metric": "latency_over_slo", "margin": 0.1, "slo_ms": 0}]),
        ("max_first_weight_pct", 0),
        ("approval_days", 0),
        ("judge_deadline_s", None),
        ("sandbox_level_min", "some"),
        ("when_closed", "wait"),
        ("waiver_role", "viewer"),
        ("escalate_to", "engineer"),
        ("remind_hours", 0),
        ("replicas_max", -1),
        ("endpoints_max", 2.5),
        ("cost_per_day_max", float("nan")),
        ("gate_parameters", {"nothing": {}}),
        ("gate_parameters", {"digest_known": 1}),
        ("required_metadata", ["owner", "owner"]),
        ("required_metadata", [""]),
        ("margins_max", {"error_rate": 1}),
        ("margins_max", {"recall": 0.1}),
        ("operators", {"rollback": []}),
        ("operators", {"rollback": ["reviewer"]}),
        ("operators", {"delete": ["administrator"]}),
        ("protected", "no"),
        ("colour", "red"),
    ],
)
def test_revise__bad_value__invalid_with_the_field_and_no_revision(environment, people, field, value):
    with pytest.raises(Invalid) as error:
        policy_revise(actor=people.ada.actor, environment=environment, **{field: value})
    assert field in error.value.details
    assert Policy.objects.count() == 1


@pytest.mark.parametrize("name", ["vik", "emma", "rita", "oscar", "mona", "max"])
def test_revise__without_the_role__forbidden(environment, people, name):
    with pytest.raises(Forbidden):
        policy_revise(actor=getattr(people, name).actor, environment=environment, approval_days=7)


def test_defaults__twice__three_environments_once(people):
    for _ in range(2):
        defaults_create(actor=ENGINE)
    assert list(Environment.objects.values_list("name", "aliases")) == [
        ("development", False),
        ("staging", False),
        ("production", True),
    ]
    assert Policy.objects.count() == 3
    production = current_policy(Environment.objects.get(name="production"))
    assert [rule["role"] for rule in production.approval_rules] == ["reviewer", "risk_officer"]
    assert production.guardrails_required
    assert current_policy(Environment.objects.get(name="development")).approval_rules == []


def test_environments__seen_by_scope(environment, people):
    environment_create(actor=ENGINE, name="staging", position=1)
    assert [row.name for row in environments_visible_to(people.max.actor)] == ["staging"]
    assert environments_visible_to(people.vik.actor).count() == 2
    assert not environments_visible_to(people.noa.actor).exists()
    with pytest.raises(NotFound):
        environment_for(people.max.actor, "production")


def test_admin__deleting_or_looking_without_the_role__refused(client, environment, people):
    policy = current_policy(environment)
    client.force_login(people.ada.user)
    assert client.post(reverse("admin:registry_policy_delete", args=[policy.pk])).status_code == 403
    people.mona.user.is_staff = True
    people.mona.user.save()
    client.force_login(people.mona.user)
    for page in ("registry_policy_changelist", "registry_policydraft_changelist", "registry_policydraft_add"):
        assert client.get(reverse(f"admin:{page}")).status_code == 403


def test_defaults__production_demands_a_sandbox__others_do_not(people):
    defaults_create(actor=ENGINE)
    levels = {place.name: current_policy(place).sandbox_level_min for place in Environment.objects.all()}

    assert levels == {"development": "none", "staging": "none", "production": "partly"}


def test_sandbox_levels_min__policy_revised__the_newest_counts(environment, people):
    policy_revise(actor=people.ada.actor, environment=environment, sandbox_level_min="full")

    model = Model.objects.create(name="tumours", created_at=clock.now(), updated_at=clock.now())
    assert sandbox_levels_min([(environment.pk, model)]) == {(environment.pk, model.pk): "full"}
