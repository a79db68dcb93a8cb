"""The access review: every binding with its person, as CSV that no spreadsheet runs, and as JSON."""

import csv
import io
from datetime import timedelta

import pytest
from django.urls import reverse

from mlorch_site.accounts.access_review import COLUMNS
from mlorch_site.accounts.bindings import role_bind, role_unbind
from mlorch_site.accounts.models import RoleBinding
from mlorch_site.accounts.roles import Role
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.spreadsheet import csv_lines
from registry.models import Environment
from tests.support.live import signed_in

DAY = timedelta(days=1)
STAGING, PRODUCTION = "environment:staging", "environment:production"


@pytest.fixture(autouse=True)
def places(db):
    for name in ("staging", "production"):
        Environment.objects.create(name=name)


def give(people, person, role, scope, **changes):
    user = getattr(people, person).user
    return role_bind(actor=people.ada.actor, user=user, role=role, scope=scope, reason="because", **changes)


def test_review__csv_and_json__every_binding_with_its_person(people):
    give(people, "noa", Role.REVIEWER, PRODUCTION, expires_at=clock.now() + DAY)
    role_unbind(actor=people.ada.actor, binding=give(people, "noa", Role.VIEWER, STAGING), reason="over")
    browser = signed_in("oscar")
    table = b"".join(browser.get(reverse("access-review-csv")).streaming_content).decode()
    rows = list(csv.DictReader(io.StringIO(table)))
    listed = browser.get(reverse("access-review-json")).json()["bindings"]

    assert list(rows[0]) == COLUMNS
    held = [row for row in rows if row["state"] != "no role"]
    assert len(rows) == len(listed)
    assert len(held) == RoleBinding.objects.count()
    noa = {row["role"]: row for row in rows if row["person"] == "noa"}
    assert (noa["reviewer"]["state"], noa["reviewer"]["given_by"], noa["reviewer"]["reason"]) == (
        "in force",
        "ada",
        "because",
    )
    assert (noa["viewer"]["state"], noa["viewer"]["ended_by"], noa["viewer"]["end_reason"]) == ("ended", "ada", "over")
    assert next(row for row in listed if row["person"] == "oscar")["last_sign_in_at"]
    noted = AuditRecord.objects.filter(actor="oscar", action="access.exported").order_by("sequence")
    assert [record.data["form"] for record in noted] == ["csv", "json"]


def test_review__over_rest__is_the_same_and_recorded(people):
    browser = signed_in("ada")
    listed = browser.get("/api/v1/access-review").json()["bindings"]
    table = b"".join(browser.get("/api/v1/access-review.csv").streaming_content).decode()
    assert [row["person"] for row in listed] == [row["person"] for row in csv.DictReader(io.StringIO(table))]
    assert AuditRecord.objects.filter(action="access.exported").count() == 2


@pytest.mark.parametrize("where", ["/access/review.csv", "/access/review.json", "/api/v1/access-review"])
@pytest.mark.parametrize("who", ["vik", "max", "noa"])
def test_review__to_who_may_not_read_all_records__is_refused(people, where, who):
    assert signed_in(who).get(where).status_code == 403
    assert not AuditRecord.objects.filter(action="access.exported").exists()


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n@x", "＝1", "\u00a0=1"])
def test_csv__what_begins_like_a_formula__does_not(start):
    head, line = csv_lines(["cell"], [{"cell": start}])
    cell = next(csv.reader(io.StringIO(line, newline="")))[0]
    assert head == '"cell"\r\n'
    assert cell == f"'{start}"


def test_csv__what_is_no_formula__stays_as_it_is():
    _, line = csv_lines(["a", "b", "c"], [{"a": None, "b": 'say "x", y', "c": True}])
    assert next(csv.reader(io.StringIO(line))) == ["", 'say "x", y', "True"]


def test_review__reason_like_a_formula__cannot_run(people):
    role_bind(
        actor=people.ada.actor, user=people.noa.user, role=Role.VIEWER, scope="*", reason='=HYPERLINK("http://evil")'
    )
    table = b"".join(signed_in("ada").get(reverse("access-review-csv")).streaming_content).decode()
    assert "'=HYPERLINK" in table
    assert '"=' not in table
