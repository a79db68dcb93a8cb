"""What was done outside mlorch stays shown until somebody says what is to hold."""

import pytest

from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from registry import tasks
from registry.models import AliasIntent, Finding, Model, Version
from registry.services import alias_want, finding_resolve


def numbered(model: Model, number: int) -> Version:
    """The version that has a number now."""
    return model.versions.get(number=number, superseded_at=None)


@pytest.fixture
def finding(registry, look, people):
    registry.add("tumours")
    registry.add("tumours")
    look()
    intent = alias_want(
        actor=people.emma.actor,
        model=Model.objects.get(),
        name="champion",
        version=numbered(Model.objects.get(), 1),
        reason="",
    )
    tasks.apply_alias(intent.pk)
    registry().set_alias("tumours", "champion", 2)
    look()
    return Finding.objects.select_related("model").get()


def test_adopt__takes_what_was_found_as_wanted(registry, look, people, finding):
    finding_resolve(actor=people.emma.actor, finding=finding, how="adopt")
    assert AliasIntent.objects.get().version_number == 2
    look()
    assert registry.aliases("tumours") == {"champion": 2}
    assert not Finding.objects.filter(resolved_at=None).exists()


def test_revert__writes_back_what_mlorch_wants(registry, look, people, finding):
    finding_resolve(actor=people.emma.actor, finding=finding, how="revert")
    tasks.apply_alias(AliasIntent.objects.get().pk)
    look()
    assert registry.aliases("tumours") == {"champion": 1}
    assert Finding.objects.count() == 1


def test_same_wish_again__after_an_outside_move__is_written_again_and_closes_the_finding(registry, people, finding):
    intent = alias_want(
        actor=people.emma.actor, model=finding.model, name="champion", version=numbered(finding.model, 1), reason=""
    )
    tasks.apply_alias(intent.pk)
    assert registry.aliases("tumours") == {"champion": 1}
    finding.refresh_from_db()
    assert finding.resolution == "mlorch wrote the alias again."


def test_resolved_twice__conflict(people, finding):
    finding_resolve(actor=people.emma.actor, finding=finding, how="note")
    with pytest.raises(Conflict):
        finding_resolve(actor=people.emma.actor, finding=finding, how="adopt")


def test_resolved__by_a_viewer_or_by_another_word__refused(people, finding):
    with pytest.raises(Forbidden):
        finding_resolve(actor=people.vik.actor, finding=finding, how="note")
    with pytest.raises(Invalid):
        finding_resolve(actor=people.emma.actor, finding=finding, how="forget")
