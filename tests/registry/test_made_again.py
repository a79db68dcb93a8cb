"""MLflow gives names and numbers again: what was made again is another version, what was renamed is the same model."""

from pathlib import Path

import pytest

from mlorch_site.accounts.models import RoleBinding
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from registry import artifacts, tasks
from registry.models import AliasIntent, Finding, Model, Version
from registry.selectors import artifact_sets, version_for, why_changed_outside
from registry.services import alias_want


def present(name: str = "tumours", number: int = 1) -> Version:
    return Version.objects.select_related("model").get(model__name=name, number=number, superseded_at=None)


def digested(version: Version) -> Version:
    tasks.digest_version(version.pk)
    return Version.objects.select_related("model").get(pk=version.pk)


@pytest.fixture
def first(registry, look, store):
    """A version whose artifacts are in the store."""
    registry.add("tumours", files={"weights": b"one"}, metrics={"accuracy": 0.9})
    look()
    return digested(present())


def made_again(registry, look, **evidence) -> Version:
    registry.remove_model("tumours")
    registry.add("tumours", files={"weights": b"two"}, **evidence)
    look()
    return present()


def test_version__deleted_and_made_again__is_another_row_without_what_was_known(registry, look, first):
    again = made_again(registry, look, metrics={"accuracy": 0.1})
    first.refresh_from_db()

    assert again.pk != first.pk
    assert (again.digest, again.evidence["metrics"]) == ("", {"accuracy": 0.1})
    assert (first.status, first.evidence["metrics"]) == ("DELETED", {"accuracy": 0.9})
    assert first.superseded_at is not None
    assert "another version was registered under its number" in why_changed_outside(first, first.digest)
    assert {"version.remade_outside", "model.remade_outside"} <= set(
        AuditRecord.objects.values_list("action", flat=True)
    )
    assert Finding.objects.filter(kind="version_remade").count() == 1


def test_version__made_again__both_can_be_looked_at(registry, look, first, people):
    again = made_again(registry, look)
    first.refresh_from_db()

    assert version_for(people.vik.actor, "tumours", 1).pk == again.pk
    assert version_for(people.vik.actor, "tumours", 1, row=first.pk).pk == first.pk
    assert first.address == f"/models/tumours/versions/1/?row={first.pk}"
    assert again.address == "/models/tumours/versions/1/"


def test_artifacts__version_made_again__those_of_the_first_stay_in_the_store(registry, look, first):
    again = digested(made_again(registry, look))

    assert again.digest != first.digest
    assert set(artifact_sets([first.digest, again.digest])) == {first.digest, again.digest}
    assert (artifacts.path_of(first.digest) / "weights").read_bytes() == b"one"


def test_digest__version_is_made_again_while_it_is_read__is_not_given_to_the_first(registry, look, first, monkeypatch):
    """Between the look at the version and the end of the download MLflow may give the number to another one."""
    download = registry.download

    def and_swap(self: object, model: str, number: int, target: Path) -> None:
        registry.remove_model("tumours")
        registry.add("tumours", files={"weights": b"two"})
        download(self, model, number, target)

    Version.objects.filter(pk=first.pk).update(digest_due_at=first.created_at)
    monkeypatch.setattr(registry, "download", and_swap)
    after = digested(first)

    assert after.digest == first.digest
    assert "another version under the number" in after.digest_error
    assert not Finding.objects.exists()


def test_alias__its_version_is_made_again__does_not_lead_to_the_other(registry, look, first, people):
    intent = alias_want(actor=people.emma.actor, model=first.model, name="champion", version=first, reason="")
    made_again(registry, look)
    tasks.apply_alias(intent.pk)

    intent = AliasIntent.objects.get()
    assert registry.aliases("tumours") == {}
    assert "was deleted in MLflow" in intent.last_error
    assert intent.due_at is None


def test_alias__made_again_since_the_last_look__is_not_written(registry, first, people):
    intent = alias_want(actor=people.emma.actor, model=first.model, name="champion", version=first, reason="")
    registry.remove_model("tumours")
    registry.add("tumours")
    tasks.apply_alias(intent.pk)

    assert registry.aliases("tumours") == {}
    assert "another version under the number" in AliasIntent.objects.get().last_error


def test_rename__is_followed_with_all_that_hangs_on_the_model(registry, look, first):
    registry.rename("tumours", "growths")
    look()

    assert present("growths").pk == first.pk
    assert present("growths").digest == first.digest
    assert not Model.objects.filter(name="tumours").exists()
    assert "role bindings to model:tumours did not" in Finding.objects.get(kind="model_renamed").summary


def in_force(people):
    held = RoleBinding.objects.in_force(clock.now()).filter(user=people.noa.user)
    return set(held.values_list("scope", flat=True))


def test_rename__onto_a_name_that_roles_were_given_for__they_end(registry, look, first, people):
    """Whoever may rename in MLflow cannot move somebody's role to another model."""
    registry.add("own")
    look()
    for name in ("own", "tumours"):
        RoleBinding.objects.create(user=people.noa.user, role="release_manager", scope=f"model:{name}")
    registry.remove_model("own")
    registry.rename("tumours", "own")
    look()

    assert in_force(people) == {"model:tumours"}
    ended = RoleBinding.objects.get(scope="model:own")
    assert ended.end_reason == "Another model has this name in MLflow now."
    assert AuditRecord.objects.filter(actor="mirror", action="role.unbound").count() == 1


def test_name__free_after_a_rename_and_given_to_a_new_model__roles_for_it_end(registry, look, first, people):
    RoleBinding.objects.create(user=people.noa.user, role="release_manager", scope="model:tumours")
    registry.rename("tumours", "growths")
    look()
    assert in_force(people) == {"model:tumours"}
    registry.add("tumours")
    look()

    assert in_force(people) == set()


def test_model__deleted_and_seen_no_more__roles_stay_for_what_still_serves(registry, look, first, people):
    RoleBinding.objects.create(user=people.noa.user, role="release_manager", scope="model:tumours")
    registry.remove_model("tumours")
    look()

    assert in_force(people) == {"model:tumours"}


def test_rename__names_of_two_models_swapped_within_one_look__each_is_followed(registry, look, first):
    registry.add("lungs", files={"weights": b"lung"})
    look()
    lungs = present("lungs")
    registry.rename("tumours", "between")
    registry.rename("lungs", "tumours")
    registry.rename("between", "lungs")
    look()

    assert present("lungs").pk == first.pk
    assert present("tumours").pk == lungs.pk
    assert not Version.objects.exclude(superseded_at=None).exists()


def test_rename__to_the_name_of_a_deleted_model__takes_it(registry, look, first):
    registry.add("lungs")
    look()
    registry.remove_model("lungs")
    look()
    registry.rename("tumours", "lungs")
    look()

    assert present("lungs").pk == first.pk
    assert Model.objects.filter(deleted_at=None).count() == 1


def test_rename__another_model_under_a_new_name__is_a_new_model(registry, look, first):
    registry.remove_model("tumours")
    registry.add("growths", files={"weights": b"one"})
    look()

    assert present("growths").pk != first.pk
    assert Model.objects.get(name="tumours").deleted_at is not None
    assert not Finding.objects.filter(kind="model_renamed").exists()
