"""What is hashed and kept: the same on every database."""

import pytest

from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.chain import Walk
from mlorch_site.audit.records import stored_records
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib.hashing import settled

NUMBERS = [
    (float("nan"), None),
    (float("-inf"), None),
    (1e300, int(1e300)),
    (-0.0, 0.0),
    (0.25, 0.25),
    (5e-324, 5e-324),
    (("a", 1), ["a", 1]),
]


@pytest.mark.parametrize(("value", "kept"), NUMBERS)
def test_settled__value_that_databases_write_otherwise__has_one_form(value, kept):
    assert repr(settled({"x": [value]})) == repr({"x": [kept]})


@pytest.mark.django_db(transaction=False)
@pytest.mark.parametrize("value", [value for value, _ in NUMBERS])
def test_audit_record__any_number__holds_as_the_database_gives_it_back(value):
    actor = Actor(kind="system", name="mlorch")
    audit_record(actor, "release.judged", Subject("release", "1"), data={"e_value": value, 1: value})
    walk = Walk()

    assert walk.through(stored_records()) == ""
    assert walk.count == 1
