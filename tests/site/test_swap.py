"""Compare-and-swap: whoever comes second changes nothing."""

import pytest

from mlorch_site.accounts.actor import Actor
from mlorch_site.lib import clock
from mlorch_site.lib.swap import swap
from registry.models import Finding, Model


@pytest.fixture
def finding(db) -> Finding:
    model = Model.objects.create(name="tumours", created_at=clock.now(), updated_at=clock.now())
    return Finding.objects.create(model=model, kind="alias_moved", summary="moved", found_at=clock.now())


def test_swap__guard_unchanged__row_and_object_carry_the_values(finding):
    assert swap(finding, "resolved_at", resolved_at=clock.now(), resolution="first")
    assert finding.resolution == "first"
    assert Finding.objects.get().resolution == "first"


def test_swap__somebody_was_first__changes_nothing(finding):
    other = Finding.objects.get()
    swap(other, "resolved_at", resolved_at=clock.now(), resolution="first")

    assert not swap(finding, "resolved_at", resolved_at=clock.now(), resolution="second")
    assert finding.resolution == ""
    assert Finding.objects.get().resolution == "first"


@pytest.mark.parametrize(("person", "on_behalf_of"), [("olga", "olga"), ("", ""), ("rollout", "")])
def test_on_behalf__nobody_or_itself__stays_the_actor(person, on_behalf_of):
    assert Actor.controller("rollout").on_behalf(person).on_behalf_of == on_behalf_of
