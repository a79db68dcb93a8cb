"""Outcomes over REST: given to the arm that answered, late, corrected, partly wrong, and by whom they may be posted."""

from datetime import timedelta

import pytest
import time_machine

from dataplane.wire.unit_buckets import buckets_of
from deployments.services.watching import watched, watched_in_use
from mlorch_site.accounts.services import token_create
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib.errors import Conflict, Forbidden
from monitoring.models import OutcomeDefinition, ReportedOutcome
from monitoring.services import OutcomeWish, outcome_define, outcome_end
from monitoring.services.outcomes import outcome_problems
from tests.support.live import signed_in

POST = "/api/v1/outcomes"
PLACE = "/api/v1/endpoints/production/clinic/outcomes"
CONVERSION = OutcomeWish("conversion", "binary", "better")
CANARY = {"kind": "canary", "steps": [{"weight": 30, "bake_s": 600}]}

WRONG = [
    ({"request_id": "request-1", "release": "00000000-0000-0000-0000-000000000000"}, "release"),
    ({"request_id": "request-1"}, "request_id"),
    ({"request_id": "kurz", "unit": "ana"}, "request_id"),
    ({"unit": "bär"}, "unit"),
    ({"unit": "u" * 257}, "unit"),
    ({"unit": "ana", "version": 9}, "version"),
    ({"unit": "ana", "name": "unknown"}, "name"),
    ({"unit": "ana", "endpoint": "other"}, "endpoint"),
    ({"unit": "ana", "value": 2}, "value"),
    ({"unit": "ana", "value": "1"}, "value"),
    ({"unit": "ana", "value": None}, "value"),
    ({"unit": "ana", "name": "basket", "value": 500.1}, "value"),
    ({"unit": "ana", "name": "basket", "value": True}, "value"),
    ({"unit": "ana", "name": "basket", "value": 10**12}, "value"),
    ({"unit": "ana", "at": "2026-11-23T12:00:00"}, "at"),
    ({"unit": "ana", "at": "2030-01-01T00:00:00Z"}, "at"),
    ({"unit": "ana", "at": "2001-01-01T00:00:00Z"}, "at"),
    ({"unit": "ana", "at": "9999-12-31T23:59:59-23:59"}, "at"),
    ({"unit": "ana", "at": "2026-11-23T11:00:00Z"}, "at"),
    ({"unit": "ana", "at": 5}, "at"),
    ({"unit": "ana", "observed_at": "later"}, "observed_at"),
    ({"unit": ["ana"]}, "unit"),
    ({"unit": "ana", "cohort": 1}, "cohort"),
]


@pytest.fixture
def rolling(world):
    """Version 1 stable, version 2 at 30 % of the traffic since a minute."""
    world.stable = world.serve(1)
    with world.at():
        for wish in (CONVERSION, OutcomeWish("basket", "number", "better", 0.0, 500.0, "EUR")):
            outcome_define(actor=world.people.emma.actor, place=watched_in_use(world.endpoint), wish=wish)
    world.candidate = world.request(2, strategy=CANARY)
    while world.weights != {"1": 70, "2": 30}:
        world.tick()
    world.tick(2)
    world.now += timedelta(minutes=1)
    with time_machine.travel(world.now, tick=False):
        yield world


def posted(rolling, *rows, name="emma", **headers):
    """The results of rows that are completed to good ones."""
    plain = {"environment": "production", "endpoint": "clinic", "name": "conversion", "value": 1}
    plain["at"] = rolling.now.isoformat()
    answer = signed_in(name).post(
        POST, {"outcomes": [plain | row for row in rows]}, content_type="application/json", headers=headers
    )
    assert answer.status_code == 200, answer.content
    return answer.json()["results"]


def test_post__by_request__counts_for_the_arm_whose_release_was_named(rolling):
    rows = [
        {"request_id": f"request-{number}", "release": str(release.pk), "version": number, "value": number == 2}
        for number, release in ((1, rolling.stable), (2, rolling.candidate))
    ]

    assert [row["status"] for row in posted(rolling, *rows)] == ["taken", "taken"]
    found = {row.arm: (row.version, row.value, row.bucket) for row in ReportedOutcome.objects.all()}
    assert found == {"stable": (1, 0.0, None), "candidate": (2, 1.0, None)}


def test_post__by_unit__gets_the_arm_and_bucket_that_the_gateway_computes(rolling):
    units = [f"person-{number}" for number in range(40)]
    posted(rolling, *({"unit": unit} for unit in units))
    salt = str(rolling.candidate.pk)
    expected = sorted(
        ("candidate" if bucket < 3000 else "stable", evidence)
        for bucket, evidence in (buckets_of(salt, unit) for unit in units)
    )

    assert sorted(ReportedOutcome.objects.values_list("arm", "bucket")) == expected
    assert {arm for arm, _ in expected} == {"candidate", "stable"}


def test_post__traffic_shifted_around_then__a_unit_that_moved_is_refused_unless_its_release_is_named(rolling):
    moved = next(u for u in (f"u{n}" for n in range(999)) if buckets_of(str(rolling.candidate.pk), u)[0] < 3000)
    began = rolling.endpoint.traffic_changes.filter(arms__icontains="30").last().at
    at = (began + timedelta(seconds=3)).isoformat()

    [refused] = posted(rolling, {"unit": moved, "at": at})
    [told] = posted(rolling, {"unit": moved, "at": at, "release": str(rolling.candidate.pk)})

    assert (refused["status"], "shifted" in refused["reason"], told["status"]) == ("refused", True, "taken")


def test_post__some_rows_are_wrong__each_is_refused_by_field_and_the_others_are_taken(rolling):
    *wrong, right = posted(rolling, *(row for row, _ in WRONG), {"unit": "ben"})

    assert [(row["status"], [*row["details"]]) for row in wrong] == [("refused", [field]) for _, field in WRONG]
    assert (right["status"], ReportedOutcome.objects.count()) == ("taken", 1)


@pytest.mark.parametrize("body", [{}, {"outcomes": []}, {"outcomes": "x"}, {"outcomes": [1] * 1001}, {"rows": [1]}])
def test_post__no_list_of_rows__is_refused(people, body):
    assert signed_in("emma").post(POST, body, content_type="application/json").status_code == 400


def test_post__rows_that_are_no_objects__are_refused_one_by_one(people):
    answer = signed_in("emma").post(POST, {"outcomes": [1, "x", [2]]}, content_type="application/json")
    assert [row["status"] for row in answer.json()["results"]] == ["refused"] * 3


def test_post__the_same_key_again__the_one_observed_last_counts_whatever_came_first(rolling):
    def at(seconds):
        return (rolling.now - timedelta(seconds=seconds)).isoformat()

    one, same, corrected, older = posted(
        rolling,
        {"unit": "ana", "value": 0, "observed_at": at(30)},
        {"unit": "ana", "value": 0, "observed_at": at(20)},
        {"unit": "ana", "value": 1, "observed_at": at(10)},
        {"unit": "ana", "value": 0, "observed_at": at(25)},
    )
    [again] = posted(rolling, {"unit": "ana", "value": 0})

    states = [row["status"] for row in (one, same, corrected, older, again)]
    assert states == ["taken", "unchanged", "corrected", "older", "corrected"]
    assert list(ReportedOutcome.objects.values_list("value", "corrections")) == [(0.0, 2)]
    assert AuditRecord.objects.filter(action="outcome.corrected").count() == 2


def test_post__request_of_another_release_than_before__is_refused_and_the_arm_stays(rolling):
    posted(rolling, {"request_id": "request-1", "release": str(rolling.stable.pk)})
    [again] = posted(rolling, {"request_id": "request-1", "release": str(rolling.candidate.pk), "value": 0})

    assert (again["status"], ReportedOutcome.objects.get().arm) == ("refused", "stable")


def test_post__with_idempotency_key_twice__acts_once(rolling):
    first = posted(rolling, {"unit": "ana"}, **{"Idempotency-Key": "k1"})
    assert posted(rolling, {"unit": "ana"}, **{"Idempotency-Key": "k1"}) == first
    assert ReportedOutcome.objects.count() == 1


def test_post__nobody_s_unit_or_request_is_kept(rolling):
    posted(rolling, {"unit": "ana@example.org"}, {"request_id": "request-77", "release": str(rolling.stable.pk)})
    kept = str(list(ReportedOutcome.objects.values()))
    assert "ana@example" not in kept
    assert "request-77" not in kept


def test_post__by_role__viewers_and_reviewers_are_refused_and_strangers_see_no_endpoint(rolling):
    row = {"environment": "production", "endpoint": "clinic", "name": "conversion", "value": 1, "unit": "ana"}
    body = {"outcomes": [row | {"at": rolling.now.isoformat()}]}
    answers = {
        name: signed_in(name).post(POST, body, content_type="application/json") for name in ("vik", "rita", "max")
    }

    assert [answer.status_code for answer in answers.values()] == [403, 403, 200]
    assert "There is no endpoint" in answers["max"].json()["results"][0]["reason"]
    assert ReportedOutcome.objects.count() == 0


def test_token__of_scope_outcomes__posts_them_and_changes_nothing_else(rolling, client):
    emma = rolling.people.emma
    _, secret = token_create(actor=emma.actor, user=emma.user, name="job", scopes=["read", "outcomes"], expires_at=None)
    _, plain = token_create(actor=emma.actor, user=emma.user, name="reader", scopes=["read"], expires_at=None)
    row = {"environment": "production", "endpoint": "clinic", "name": "conversion", "value": 1, "unit": "ana"}
    body = {"outcomes": [row | {"at": rolling.now.isoformat()}]}

    def post(where, token, body):
        headers = {"Authorization": f"Bearer {token}"}
        return client.post(where, body, content_type="application/json", headers=headers).status_code

    assert post(POST, secret, body) == 200
    assert post(POST, plain, body) == 403
    wish = {"name": "other", "kind": "binary", "larger_is": "better"}
    assert post(PLACE, secret, wish) == 403
    assert post(f"/api/v1/releases/{rolling.candidate.pk}/abort", secret, {"reason": "x"}) == 403
    assert ReportedOutcome.objects.get().posted_by.startswith("emma")


def test_define__by_rest__is_shown_with_what_came_of_each_arm(rolling):
    posted(rolling, {"unit": "ana", "at": (rolling.now - timedelta(seconds=20)).isoformat()})
    conversion = next(row for row in signed_in("vik").get(PLACE).json() if row["name"] == "conversion")

    [arm] = conversion["arms"]
    assert (arm["outcomes"], arm["mean"], arm["late_s"]) == (1, 1.0, 20.0)
    assert arm["requests"] > 0


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"name": "Big"}, "name"),
        ({"kind": "number", "low": 3, "high": 3}, "high"),
        ({"kind": "number", "low": 0, "high": 1e300}, "high"),
        ({"kind": "number", "low": float("nan"), "high": 1.0}, "high"),
        ({"low": 0, "high": 2.0}, "high"),
        ({"larger_is": "good"}, "larger_is"),
        ({"unit": "\n"}, "unit"),
    ],
)
def test_define__cannot_be_judged__is_refused_by_field(wish, field):
    values = {"name": "other", "kind": "binary", "larger_is": "better"} | wish
    assert [*outcome_problems(OutcomeWish(**values))] == [field]


def test_define__same_again_is_harmless_and_another_meaning_a_conflict(rolling):
    actor, place = rolling.people.emma.actor, watched_in_use(rolling.endpoint)
    outcome_define(actor=actor, place=place, wish=CONVERSION)
    with pytest.raises(Conflict):
        outcome_define(actor=actor, place=place, wish=OutcomeWish("conversion", "binary", "worse"))
    assert AuditRecord.objects.filter(action="outcome.defined").count() == 2


def test_end__takes_no_more(rolling):
    definition = OutcomeDefinition.objects.get(name="conversion")
    with pytest.raises(Forbidden):
        outcome_end(actor=rolling.people.vik.actor, definition=definition)
    signed_in("emma").post(f"{PLACE}/{definition.pk}/end", {"reason": "done"}, content_type="application/json")

    [row] = posted(rolling, {"unit": "ana"})
    assert row["details"] == {"name": "unknown"}
    assert [one.name for one in watched(rolling.endpoint).outcomes()] == ["basket"]


def test_page__what_came_is_shown_and_a_wrong_definition_named_at_its_field(rolling):
    where = "/endpoints/production/clinic/outcomes/"
    posted(rolling, {"unit": "ana"})
    shown = signed_in("vik").get(where).content.decode()
    assert "outcome:conversion" in shown
    assert "100.0 %" in shown

    values = {"name": "days", "kind": "number", "larger_is": "worse", "low": "5", "high": "5", "unit": "d"}
    wrong = signed_in("emma").post(where, values)
    assert (wrong.status_code, "More than the lower bound" in wrong.content.decode()) == (422, True)
    assert signed_in("vik").post(where, values | {"high": "9"}).status_code == 403
    assert signed_in("emma").post(where, values | {"high": "9"}).status_code == 303
    made = OutcomeDefinition.objects.get(name="days")
    assert signed_in("emma").post(f"{where}{made.pk}/end/").status_code == 303
    made.refresh_from_db()
    assert made.ended_at is not None
