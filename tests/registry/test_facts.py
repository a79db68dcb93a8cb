"""What became known of models and versions is kept with the moment, and can be asked for later."""

from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
import time_machine
from django.apps import apps

from registry import tasks
from registry.facts import findings_then, model_then, versions_known
from registry.models import Fact, Model, Version
from registry.services import alias_applied, alias_want

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def minutes(registry, look, store):
    """A function that lets something happen in MLflow at a minute after noon, and the mirror see it."""

    def happens(minute, *acts):
        with time_machine.travel(NOON + timedelta(minutes=minute), tick=False):
            for act in acts:
                act()
            look()
            for pk in Version.objects.exclude(digest_due_at=None).values_list("pk", flat=True):
                tasks.digest_version(pk)

    happens(0, lambda: registry.add("tumours"))
    return happens


def then(minute, name="tumours"):
    """What was known in the middle of a minute: name, whether deleted, aliases, number → status."""
    model, instant = Model.objects.get(name=name), NOON + timedelta(minutes=minute, seconds=30)
    known = model_then(model, instant, list(versions_known(model, instant)))
    return known.name, known.is_deleted, known.aliases, {v.version.number: v.status for v in known.versions.values()}


def test_model__deleted_and_back__is_known_in_between_as_deleted(registry, minutes):
    minutes(1, lambda: registry().set_alias("tumours", "champion", 1))
    kept = registry.snapshot()
    minutes(2, lambda: registry.remove_model("tumours"))
    minutes(3, lambda: registry.restore(kept))

    assert then(1) == ("tumours", False, {"champion": 1}, {1: "READY"})
    assert then(2) == ("tumours", True, {}, {1: "DELETED"})
    assert then(3) == ("tumours", False, {"champion": 1}, {1: "READY"})


def test_version__made_again__each_is_known_under_the_number_while_it_had_it(registry, minutes):
    first = Version.objects.get()
    minutes(1, lambda: registry.remove_model("tumours"), lambda: registry.add("tumours", files={"weights": b"two"}))
    second = Version.objects.exclude(pk=first.pk).get()
    model = second.model

    before, after = NOON + timedelta(seconds=30), NOON + timedelta(seconds=90)
    assert list(versions_known(model, before)) == [first]
    assert list(versions_known(model, after)) == [second]
    assert model_then(model, after, [first, second]).versions[first.pk].status == "DELETED"
    assert model_then(model, before, [first]).versions[first.pk].digest == first.digest
    assert (len(findings_then(model, before)), len(findings_then(model, after))) == (0, 2)


def test_alias__written_again_where_it_is__is_no_fact(registry, minutes, people):
    model = Model.objects.get()
    for _ in range(2):
        intent = alias_want(
            actor=people.emma.actor, model=model, name="champion", version=model.versions.get(), reason=""
        )
        alias_applied(actor=people.emma.actor, intent=intent)

    assert Fact.objects.filter(kind="alias").count() == 1


def test_look__that_finds_nothing_new__is_no_fact(registry, minutes):
    facts = Fact.objects.count()
    minutes(1)

    assert Fact.objects.count() == facts


def test_upgrade__facts_begin_with_what_is_known__and_nothing_is_known_before(registry, minutes):
    minutes(1, lambda: registry().set_alias("tumours", "champion", 1))
    was = then(1)
    Fact.objects.all().delete()
    with time_machine.travel(NOON + timedelta(minutes=2), tick=False):
        import_module("registry.migrations.0009_facts_found").begin(apps, None)

    assert then(1) == (None, False, {}, {})
    assert then(2) == was
