"""A policy as YAML: what is written is read back, and what is wrong is named with line and key."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from mlorch_site.accounts.actor import Actor
from mlorch_site.lib.errors import Invalid
from registry.models import PolicyDraft
from registry.policy_document import CHARS_MAX, read_document, write_document
from registry.policy_fields import POLICY_FIELDS
from registry.policy_schema import policy_schema
from registry.selectors import current_policy
from registry.services import environment_create
from registry.services.environments import policy_values
from tests.registry.policy_texts import NAMES, policy_texts
from tests.support.live import signed_in

ENGINE = Actor.controller("test")


@settings(max_examples=40)
@given(values=policy_texts(), name=NAMES, tier=NAMES)
def test_document__any_policy__comes_back_as_it_was(values, name, tier):
    text = write_document(environment=name, model=name, tier="high", note=f"{name}: #", values=values, title="It")
    found = read_document(text)
    assert (found.environment, found.model, found.tier, found.note) == (name, name, "high", f"{name}: #")
    assert found.values == values


@pytest.mark.parametrize("text", ["2026-12-25", "18:00", "no", "1e5", "0x1F", "null", "- a", "1_000", " x ", "é\n"])
def test_document__texts_that_look_like_something_else__stay_texts(text):
    written = write_document(environment="lab", model="", tier="", note=text, values={}, title="It")
    assert read_document(written).note == text
    assert read_document("environment: lab\nrequired_metadata: [2026-12-25, on, 18:00]").values == {
        "required_metadata": ["2026-12-25", "on", "18:00"]
    }


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ("environment: lab\napproval_days: 0", "line 2, approval_days", "less than the minimum"),
        ("environment: lab\ngates:\n- digest_known\n- coffee", "line 4, gates.2", "is not one of"),
        ("environment: lab\napprovals: []", "line 2, approvals", "nothing of a policy is called so"),
        ("environment: lab\nwindows:\n- kind: freeze\n  name: x", "line 3, windows.1", "required property"),
        ("environment: lab\noperators:\n  rollback: []", "line 3, operators.rollback", "non-empty"),
        ("environment: lab\napproval_days: 5\napproval_days: 6", "line 3, approval_days", "stands there once"),
        ("environment: lab\nnote: &a x\ntier: *a", "line 2", "anchors and aliases are not read"),
        ("environment: !!python/object:os.system x", "line 1", "tags are not read"),
        ("environment: [", "line 1", "no YAML"),
        ("environment: lab\n---\nenvironment: lab", "line 2", "no YAML"),
        ("[" * 5_000, "line 1", "at most 12 levels"),
        ("- 1", "line 1", "a mapping of keys and values"),
        ("approval_days: 5", "line 1", "'environment' is a required property"),
        ("", "document", "empty"),
        ("x" * (CHARS_MAX + 1), "document", "too large"),
        ("environment: lab\ncost_per_day_max: 1e999", "line 2", "too large"),
        ("environment: lab\x00", "document", "no YAML"),
        (
            "environment: lab\nwindows: [{kind: freeze, name: x, zone: Berlin, starts: 2026-12-24T18:00, minutes: 5}]",
            "line 2, windows",
            "not a time zone",
        ),
    ],
)
def test_document__something_wrong__named_with_line_and_key(text, place, why):
    with pytest.raises(Invalid) as error:
        read_document(text)
    assert place in error.value.details, error.value.details
    assert why in error.value.details[place]


def test_schema__is_one_and_knows_every_field():
    Draft202012Validator.check_schema(policy_schema())
    assert set(policy_schema()["properties"]) - {"environment", "model", "tier"} == set(POLICY_FIELDS)


@pytest.fixture
def staging(people):
    return environment_create(actor=ENGINE, name="staging", position=1, gates=["digest_known"], approval_days=9)


def test_export_import__by_command_and_page__is_a_draft_of_the_same(staging, people, tmp_path):
    out = StringIO()
    call_command("policy_export", "staging", stdout=out)
    path = tmp_path / "policy.yaml"
    path.write_text(out.getvalue().replace("approval_days: 9", "approval_days: 8"))
    call_command("policy_import", str(path), author="ada", stdout=out)
    draft = PolicyDraft.objects.get()
    assert (draft.created_by, draft.values["approval_days"], draft.stage) == (people.ada.user, 8, "draft")
    same = {name: value for name, value in policy_values(current_policy(staging)).items() if name != "note"}
    assert {**draft.values, "approval_days": 9} == same
    for name, words in (("vik", "needs the role Administrator"), ("nobody", "nobody called")):
        with pytest.raises(CommandError, match=words):
            call_command("policy_import", str(path), author=name)
    with pytest.raises(CommandError, match="no such revision"):
        call_command("policy_export", "staging", revision=7)


def test_page__document_that_cannot_be_read__stays_with_line_and_key(staging, people):
    ada = signed_in("ada")
    wrong = ada.post("/policies/import/", {"document": "environment: staging\napproval_days: 0"})
    assert wrong.status_code == 400
    assert "line 2, approval_days: 0 is less than the minimum of 1" in wrong.content.decode()
    assert "approval_days: 0</textarea>" in wrong.content.decode()
    foreign = ada.post("/policies/import/", {"document": "environment: nowhere"})
    assert "There is no environment nowhere" in foreign.content.decode()
    unknown = ada.post("/policies/import/", {"document": "environment: staging\nmodel: none"})
    assert "There is no model none" in unknown.content.decode()
    exported = signed_in("vik").get("/policies/staging/1/document/")
    assert exported["Content-Disposition"] == 'attachment; filename="policy-staging-1.yaml"'
    answer = ada.post("/policies/import/", {"document": exported.content.decode()})
    draft = PolicyDraft.objects.get()
    assert answer.headers["Location"] == f"/policies/drafts/{draft.pk}/"
    assert "approval_days: 9" in ada.get(f"/policies/drafts/{draft.pk}/document/").content.decode()
    assert signed_in("vik").get("/policies/import/").status_code == 403


def test_rest__schema_and_revision__fit_each_other(staging, people):
    vik = signed_in("vik")
    schema, said = vik.get("/api/v1/policies/schema/").json(), vik.get("/api/v1/policies/staging/1").json()
    assert list(Draft202012Validator(schema).iter_errors(said)) == []
    assert said["approval_days"] == 9
    assert signed_in("vik").get("/api/v1/policies/nowhere/1").status_code == 404
    [listed] = vik.get("/api/v1/policies").json()["results"]
    assert (listed["model"], listed["tier"], listed["retired_at"], listed["written_by"]) == (None, "", None, None)
