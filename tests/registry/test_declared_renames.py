"""A model that is gone and one that is there under another name: a person says that they are one."""

import pytest
from django.urls import reverse

from mlorch_site.accounts.roles import Role
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from mlorch_site.live.models import Event
from registry import tasks
from registry.facts import model_then
from registry.models import Alias, AliasIntent, Finding, Model, Version
from registry.rename_candidates import rename_candidates, rename_effect
from registry.services import alias_want, rename_declare, sync_from_backend
from registry.services.sync import lease_take
from tests.factories import make_person
from tests.support.live import signed_in

FILES = {"weights": b"one"}


def present(name: str, number: int = 1) -> Version:
    return Version.objects.select_related("model").get(model__name=name, number=number, superseded_at=None)


def digested(name: str, number: int = 1) -> Version:
    tasks.digest_version(present(name, number).pk)
    return present(name, number)


@pytest.fixture
def gone(registry, look, store):
    """A model whose version was looked at, and which was deleted in MLflow then."""
    registry.add("tumours", files=FILES)
    look()
    digested("tumours")
    registry.remove_model("tumours")
    look()
    return Model.objects.get(name="tumours")


def appeared(registry, look, name="growths", files=FILES) -> Model:
    """A model that was registered since, and whose version was looked at."""
    registry.add(name, files=files)
    look()
    digested(name)
    return Model.objects.get(name=name)


def declare(people, missing, found, **changes) -> Model:
    given = {"actor": people.emma.actor, "reason": "Emil renamed it", **changes}
    return rename_declare(missing=missing, found=found, expects=rename_effect(missing, found).expects, **given)


def test_candidates__each_with_its_reasons_likeliest_first(registry, look, gone, people):
    appeared(registry, look)
    appeared(registry, look, "tumour", files={"weights": b"other"})
    found = rename_candidates(people.vik.actor, gone)

    assert [row.model.name for row in found] == ["growths", "tumour"]
    assert found[0].reasons == [
        "Its version 1 has the same files as version 1 of tumours.",
        "It was made when the other one went.",
    ]
    assert "The names are alike." in found[1].reasons
    assert (found[0].why_not, found[1].why_not) == (
        "",
        "Both have a version 1, with different files, so they are two models.",
    )


def test_candidates__same_run_or_same_moment__are_reasons(registry, look, gone, people):
    Version.objects.update(run_id="run-1", digest="")
    registry.add("growths")
    registry.change("growths", 1, run_id="run-1")
    look()
    Model.objects.filter(name="growths").update(created_at=gone.created_at)
    [found] = rename_candidates(people.vik.actor, gone)

    assert "Its version 1 comes from the same run as version 1 of tumours." in found.reasons
    assert "It was made at the same moment." in found.reasons
    assert found.why_not == "Both have a version 1, and its files are not known of both."


def test_candidates__of_a_scope_that_does_not_show_them__none(registry, look, gone):
    appeared(registry, look)
    person = make_person("tom", [(Role.ENGINEER, "model:tumours")])
    assert rename_candidates(person.actor, gone) == []


def test_declared__row_goes_on_with_the_versions_of_the_other(registry, look, gone, people):
    first = present("tumours")
    found = appeared(registry, look)
    registry.add("growths", files={"weights": b"two"})
    look()
    model = declare(people, gone, found)
    first.refresh_from_db()

    assert (model.pk, model.name, model.deleted_at) == (gone.pk, "growths", None)
    assert list(Model.objects.values_list("name", flat=True)) == ["growths"]
    assert [present("growths", number).status for number in (1, 2)] == ["READY", "READY"]
    assert (first.model_id, first.status) == (model.pk, "DELETED")
    assert first.superseded_at is not None
    record = AuditRecord.objects.get(action="model.rename_declared")
    assert (record.actor, record.reason) == ("emma", "Emil renamed it")
    assert record.data == {"from": "tumours", "to": "growths", "versions": [1, 2], "superseded": [1]}
    told = Event.objects.filter(kind="model.changed").order_by("-sequence")[:2]
    assert {event.data["model"] for event in told} == {"tumours", "growths"}


def test_declared__asked_for_the_past__each_name_at_its_time(registry, look, gone, people):
    first = present("tumours")
    while_gone = clock.now()
    found = appeared(registry, look)
    arriving = present("growths")
    model = declare(people, gone, found)
    then, today = (model_then(model, moment, [first, arriving]) for moment in (while_gone, clock.now()))

    assert (then.name, then.is_deleted, then.versions[arriving.pk].status) == ("tumours", True, None)
    assert (today.name, today.is_deleted, today.versions[arriving.pk].status) == ("growths", False, "READY")
    assert today.versions[first.pk].status == "DELETED"


def test_declared__next_look_of_the_mirror__finds_nothing_to_do(registry, look, gone, people):
    declare(people, gone, appeared(registry, look))
    assert look() == 0
    assert Model.objects.count() == 1
    assert not Finding.objects.exists()


def test_declared__owner_and_tier_stay__what_mlflow_says_follows(registry, look, gone, people):
    Model.objects.filter(pk=gone.pk).update(owner="emma", risk_tier="high")
    found = appeared(registry, look)
    Model.objects.filter(pk=found.pk).update(description="new words", owner="nobody")
    model = declare(people, gone, found)

    assert (model.owner, model.risk_tier, model.description) == ("emma", "high", "new words")


def test_declared__alias_of_a_version_with_the_same_files__is_written_again(registry, look, store, people):
    registry.add("tumours", files=FILES)
    look()
    version = digested("tumours")
    intent = alias_want(actor=people.emma.actor, model=version.model, name="champion", version=version, reason="")
    tasks.apply_alias(intent.pk)
    registry.remove_model("tumours")
    look()
    gone = Model.objects.get(name="tumours")
    found = appeared(registry, look)
    assert rename_effect(gone, found).aliases == {"champion": 1}
    declare(people, gone, found)
    intent = AliasIntent.objects.get()
    tasks.apply_alias(intent.pk)

    assert intent.version == present("growths")
    assert registry.aliases("growths") == {"champion": 1}
    assert Alias.objects.get().model.name == "growths"


def test_declared__look_of_the_mirror_under_way__writes_nothing_more(registry, look, gone, people):
    found = appeared(registry, look)
    epoch = lease_take(clock.now())
    declare(people, gone, found)
    registry.add("whales")
    sync_from_backend(registry(), epoch=epoch, now=clock.now())

    assert not Model.objects.filter(name="whales").exists()
    look()
    assert Model.objects.filter(name="whales").exists()


def _new_version(registry, look, gone, found):
    registry.add("growths", files={"weights": b"two"})
    look()


def _found_removed(registry, look, gone, found):
    registry.remove_model("growths")
    look()


def _back(registry, look, gone, found):
    Model.objects.filter(pk=gone.pk).update(deleted_at=None)


def _merged(registry, look, gone, found):
    Model.objects.filter(pk=found.pk).delete()


@pytest.mark.parametrize(
    ("meanwhile", "sentence"),
    [
        (_new_version, "has changed since you looked"),
        (_found_removed, "growths was deleted in MLflow too"),
        (_back, "tumours is in MLflow"),
        (_merged, "gone meanwhile"),
    ],
)
def test_declared__changed_since_it_was_looked_at__conflict(registry, look, gone, people, meanwhile, sentence):
    found = appeared(registry, look)
    expects = rename_effect(gone, found).expects
    meanwhile(registry, look, gone, found)
    models = list(Model.objects.order_by("pk").values_list("pk", "name"))
    with pytest.raises(Conflict, match=sentence):
        rename_declare(actor=people.emma.actor, missing=gone, found=found, expects=expects, reason="x")
    assert list(Model.objects.order_by("pk").values_list("pk", "name")) == models


def test_declared__same_number_and_other_files__refused(registry, look, gone, people):
    found = appeared(registry, look, files={"weights": b"other"})
    with pytest.raises(Conflict, match="Both have a version 1, with different files"):
        declare(people, gone, found)
    assert Model.objects.count() == 2


def test_declared__no_number_in_common__goes_on_with_both(registry, look, gone, people):
    registry.add("growths")
    registry.add("growths")
    registry.remove("growths", 1)
    look()
    Version.objects.filter(model__name="growths", number=1).delete()
    model = declare(people, gone, Model.objects.get(name="growths"))

    assert sorted(model.versions.filter(superseded_at=None).values_list("number", "status")) == [
        (1, "DELETED"),
        (2, "READY"),
    ]
    assert look() == 0


@pytest.mark.parametrize("name", ["vik", "rita", "oscar", "max", "noa"])
def test_declared__without_the_role__forbidden(registry, look, gone, people, name):
    found = appeared(registry, look)
    with pytest.raises(Forbidden):
        declare(people, gone, found, actor=getattr(people, name).actor)


def test_declared__role_for_one_of_the_two_only__forbidden(registry, look, gone, people):
    found = appeared(registry, look)
    for scope in ("model:tumours", "model:growths"):
        person = make_person(scope.partition(":")[2], [(Role.ENGINEER, scope)])
        with pytest.raises(Forbidden):
            declare(people, gone, found, actor=person.actor)


def test_declared__without_a_reason__invalid(registry, look, gone, people):
    with pytest.raises(Invalid, match="Say how you know"):
        declare(people, gone, appeared(registry, look), reason=" ")


def test_page__of_a_missing_model__asks_whether_it_was_renamed(registry, look, gone, people):
    appeared(registry, look)
    where = reverse("model", args=["tumours"])
    page = signed_in("emma").get(where).content.decode()
    assert "Deleted in MLflow. Was it renamed?" in page
    assert "Its version 1 has the same files as version 1 of tumours." in page
    assert reverse("model-rename", args=["tumours", "growths"]) in page
    assert "Request a release" not in page
    looked = signed_in("vik").get(where).content.decode()
    assert reverse("model-rename", args=["tumours", "growths"]) not in looked
    assert "This needs the role ML engineer" in looked
    assert signed_in("vik").get(present("tumours").address).status_code == 200


def test_rest__candidates_and_the_act(registry, look, gone, people):
    appeared(registry, look)
    emma, where = signed_in("emma"), reverse("api-model-renames", args=["tumours"])
    [row] = emma.get(where).json()
    assert (row["model"], row["arriving"], row["superseded"], row["why_not"]) == ("growths", [1], [1], "")
    body = {"model": "growths", "expects": row["expects"], "reason": "Emil renamed it"}

    def post(who, **changes):
        return signed_in(who).post(where, {**body, **changes}, content_type="application/json")

    assert post("vik").status_code == 403
    assert post("emma", expects="sha256:0").json()["error"]["code"] == "changed_meanwhile"
    assert post("emma", reason="").status_code == 400
    assert post("emma", model="nothing").status_code == 404
    assert post("emma").json()["name"] == "growths"
    assert emma.get(where).status_code == 404
    assert emma.get(reverse("api-model-renames", args=["growths"])).status_code == 409
