"""MLflow's tag says what was decided, and what is edited there of a version that serves is seen, told and kept."""

import pytest

from mlorch_site.audit.models import AuditRecord
from registry import tasks, version_uses
from registry.models import Finding, LifecycleChange, TagIntent, Version
from registry.services import tag_applied, tag_claim, version_act
from registry.services.tags import PUT_BACK_AGAIN
from registry.version_lifecycle import LIFECYCLE_TAG
from registry.version_uses import UseKind, VersionUse


def row(number: int = 1) -> Version:
    return Version.objects.select_related("model").get(number=number, superseded_at=None)


def tag_of(registry, number: int = 1) -> str:
    return registry().version("tumours", number).tags.get(LIFECYCLE_TAG, "")


def write_due() -> None:
    for intent in TagIntent.objects.filter(applied_at=None):
        tasks.apply_tag(intent.pk)


@pytest.fixture
def retired(registry, look, people):
    registry.add("tumours")
    look()
    version_act(actor=people.emma.actor, version=row(), act="retire", reason="old")
    write_due()
    look()


@pytest.fixture
def serving(monkeypatch, registry, look):
    """Version 1 serves, version 2 does not."""
    registry.add("tumours")
    registry.add("tumours")
    look()
    known = row().pk
    monkeypatch.setattr(version_uses, "_served", [lambda keys: {key for key in keys if key == known}])
    use = VersionUse(UseKind.SERVES, "x", "production/clinic serves it.", "/x/")
    monkeypatch.setattr(version_uses, "_uses", [lambda version, actor: [use] if version.pk == known else []])


def test_act__tag_is_written_to_mlflow_and_no_finding(registry, look, retired):
    assert tag_of(registry) == "retired"
    assert look() == 0
    assert not Finding.objects.exists()
    assert AuditRecord.objects.filter(action="tag.written").count() == 1


@pytest.mark.parametrize("foreign", ["registered", ""])
def test_foreign_change__is_put_back_and_a_finding(registry, look, retired, foreign):
    registry.change("tumours", 1, tags={LIFECYCLE_TAG: foreign} if foreign else {})
    look()
    finding = Finding.objects.get()
    write_due()
    look()

    assert tag_of(registry) == "retired"
    assert finding.kind == "tag_changed"
    assert "writes “retired” back" in finding.summary
    assert row().lifecycle == "retired"


def test_foreign_change__again_and_again__one_finding_and_seldom_written(registry, look, retired):
    for _ in range(3):
        registry.change("tumours", 1, tags={LIFECYCLE_TAG: "registered"})
        look()
        TagIntent.objects.update(due_at=None)
        intent = TagIntent.objects.get()
        TagIntent.objects.update(due_at=intent.wanted_at)
        write_due()
        look()
    registry.change("tumours", 1, tags={LIFECYCLE_TAG: "registered"})
    look()
    intent = TagIntent.objects.get()

    assert Finding.objects.count() == 1
    assert intent.due_at - intent.wanted_at == PUT_BACK_AGAIN


def test_tag_that_nobody_decided__is_taken_away(registry, look, people):
    registry.add("tumours")
    registry.change("tumours", 1, tags={LIFECYCLE_TAG: "approved", "team": "x"})
    look()
    write_due()
    look()

    assert tag_of(registry) == ""
    assert registry().version("tumours", 1).tags == {"team": "x"}
    assert "takes it away" in Finding.objects.get().summary
    assert not LifecycleChange.objects.exists()


def test_look_that_began_before_the_writing__puts_nothing_back(registry, look, retired):
    registry.change("tumours", 1, tags={})
    look(ago_s=60)

    assert not Finding.objects.exists()


def test_registry_down__tried_again__and_deleted_version_is_given_up(registry, look, people, monkeypatch):
    registry.add("tumours")
    look()
    version_act(actor=people.oscar.actor, version=row(), act="block", reason="bad")
    monkeypatch.setattr(registry, "down", True)
    write_due()
    intent = TagIntent.objects.get()
    assert "switched off" in intent.last_error
    assert intent.due_at is not None
    monkeypatch.setattr(registry, "down", False)
    Version.objects.update(status="DELETED")
    TagIntent.objects.update(due_at=intent.wanted_at)
    write_due()

    assert TagIntent.objects.get().due_at is None


def test_newer_wish_between__is_written_once_more(registry, look, people):
    registry.add("tumours")
    look()
    version_act(actor=people.emma.actor, version=row(), act="deprecate", reason="a")
    intent = TagIntent.objects.get()
    claimed = tag_claim(intent_id=intent.pk, now=intent.due_at)
    version_act(actor=people.emma.actor, version=row(), act="retire", reason="b")
    tag_applied(actor=people.emma.actor, intent=claimed)

    assert TagIntent.objects.get().applied_at is None
    write_due()
    assert tag_of(registry) == "retired"


def test_edit_of_a_version_that_serves__seen_told_and_kept(registry, look, serving):
    tags = {f"t{n}": "y" * 5000 for n in range(7)}
    registry.change("tumours", 1, description="perfect", tags=tags)
    registry.change("tumours", 2, description="nobody asks")
    look()
    finding = Finding.objects.get()

    assert finding.summary == (
        "The description and the tags t0, t1, t2, t3, t4 and 2 more of tumours version 1, which serves, "
        "changed in MLflow."
    )
    assert finding.data["description"] == {"before": "", "after": "perfect"}
    assert len(finding.data["tags"]["t0"]["after"]) == 2000
    assert AuditRecord.objects.filter(action="version.edited_outside").count() == 1
    registry.change("tumours", 1, description="better")
    look()
    assert Finding.objects.filter(resolved_at=None).get().data["description"]["before"] == "perfect"
    assert Finding.objects.count() == 2


def test_version_that_serves_deleted__is_a_finding(registry, look, serving):
    registry.remove("tumours", 1)
    registry.remove("tumours", 2)
    look()

    assert [found.kind for found in Finding.objects.all()] == ["version_deleted"]


def test_model_deleted_whose_version_serves__is_a_finding(registry, look, serving):
    registry.remove_model("tumours")
    look()

    assert "Its traffic goes on" in Finding.objects.get().summary


def test_alias_of_others__to_and_from_a_version_that_serves__is_a_finding(registry, look, serving):
    registry().set_alias("tumours", "best", 2)
    look()
    assert not Finding.objects.exists()
    registry().set_alias("tumours", "best", 1)
    look()
    assert "was given to tumours version 1, which serves" in Finding.objects.get().summary


def test_hostile_tag__cut_and_stored(registry, look):
    registry.add("tumours")
    registry.change("tumours", 1, tags={LIFECYCLE_TAG: "<script>" * 900})
    look()

    assert len(Finding.objects.get().data["to"]) == 200
