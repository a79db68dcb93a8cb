"""A person says when they are away: on the page, over REST; days are those of their own zone."""

from datetime import date, timedelta

import pytest
import time_machine
from django.urls import reverse

from mlorch_site.accounts.absences import absence_end, absence_say, absent_among
from mlorch_site.accounts.models import Absence, User
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid, NotFound
from tests.support.live import signed_in

MONDAY = date(2026, 11, 30)


@pytest.fixture(autouse=True)
def at_noon():
    with time_machine.travel("2026-11-30T12:00:00Z", tick=False):
        yield


def say(person, first: int, last: int, note: str = "") -> Absence:
    """Say an absence in days from Monday on."""
    days = {"first_day": MONDAY + timedelta(days=first), "last_day": MONDAY + timedelta(days=last)}
    return absence_say(actor=person.actor, **days, note=note)


def absent(*people) -> set[str]:
    found = absent_among([person.user.pk for person in people], clock.now())
    return {absence.user.username for absence in found.values()}


def test_say__today__absent_and_recorded_with_its_days(people):
    absence = say(people.rita, 0, 4, "at the sea")

    assert absent(people.rita, people.oscar) == {"rita"}
    record = AuditRecord.objects.get(action="absence.said")
    assert (record.actor, record.reason) == ("rita", "at the sea")
    assert record.data == {"absence": absence.pk, "first_day": "2026-11-30", "last_day": "2026-12-04"}
    assert say(people.rita, 0, 4, "at the sea").pk == absence.pk
    assert AuditRecord.objects.filter(action="absence.said").count() == 1


@pytest.mark.parametrize(
    ("first", "last", "blamed"),
    [(2, 1, "last_day"), (-3, -1, "last_day"), (0, 366, "last_day"), (367, 368, "first_day")],
)
def test_say__days_that_make_no_sense__blamed_at_their_field(people, first, last, blamed):
    with pytest.raises(Invalid) as error:
        say(people.rita, first, last)
    assert set(error.value.details) == {blamed}


def test_say__a_day_that_is_covered__conflict_names_the_other(people):
    say(people.rita, 1, 3)
    with pytest.raises(Conflict, match="from 2026-12-01 to 2026-12-03 already"):
        say(people.rita, 3, 5)
    assert say(people.rita, 4, 5)
    assert say(people.oscar, 3, 5)


def test_days__last_one_included__in_the_person_s_own_zone(people):
    User.objects.filter(pk=people.rita.user.pk).update(time_zone="Pacific/Auckland")  # 13 hours ahead
    for person in (people.rita, people.oscar):
        person.user.refresh_from_db()
        say(person, 1, 1)
    for moment, who in (
        ("2026-11-30T10:59:00Z", set()),
        ("2026-11-30T11:01:00Z", {"rita"}),
        ("2026-12-01T10:59:00Z", {"rita", "oscar"}),
        ("2026-12-01T11:01:00Z", {"oscar"}),
        ("2026-12-02T00:00:00Z", set()),
    ):
        with time_machine.travel(moment, tick=False):
            assert absent(people.rita, people.oscar) == who, moment


def test_end__early__there_again_and_once_in_the_record(people):
    absence = say(people.rita, 0, 4)
    for _ in range(2):
        absence_end(actor=people.rita.actor, number=absence.pk)

    assert absent(people.rita) == set()
    assert AuditRecord.objects.filter(action="absence.ended").count() == 1
    with pytest.raises(NotFound):
        absence_end(actor=people.oscar.actor, number=absence.pk)


def test_page__said_refused_and_taken_back__what_was_written_stays(people):
    noa, address = signed_in("noa"), reverse("absences")  # also without any role
    refused = noa.post(address, {"first_day": "2026-12-05", "last_day": "2026-12-01", "note": "my words"})
    said = noa.post(address, {"first_day": "2026-12-01", "last_day": "2026-12-05", "note": "<b>"})
    absence, listed = Absence.objects.get(), noa.get(address).content.decode()
    ended = noa.post(reverse("absence-end", args=[absence.pk]))

    assert refused.status_code == 422
    assert "The last day comes before the first." in refused.content.decode()
    assert "my words" in refused.content.decode()
    assert (said.status_code, ended.status_code) == (303, 303)
    assert "Tue 2026-12-01" in listed
    assert "&lt;b&gt;" in listed
    assert "You are there, as far as anybody knows." in noa.get(address).content.decode()
    assert signed_in("vik").post(reverse("absence-end", args=[absence.pk])).status_code == 404


def test_rest__said_listed_and_ended(people):
    emma = signed_in("emma")
    body = {"first_day": "2026-12-01", "last_day": "2026-12-05"}
    made = emma.post("/api/v1/absences", body, content_type="application/json")
    again = emma.post("/api/v1/absences", {**body, "note": "x"}, content_type="application/json")

    assert (made.status_code, again.status_code) == (201, 409)
    assert [row["first_day"] for row in emma.get("/api/v1/absences").json()] == ["2026-12-01"]
    assert emma.post(f"/api/v1/absences/{made.json()['id']}/end").json()["ended_at"]
    assert emma.get("/api/v1/absences").json() == []
    assert signed_in("vik").post(f"/api/v1/absences/{made.json()['id']}/end").status_code == 404
