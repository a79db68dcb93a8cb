"""Objectives and alerts of an endpoint on its pages, in REST, at its retirement, and for the gate."""

from datetime import timedelta

import pytest
import time_machine

from deployments import services, tasks
from deployments.models import GatewayState
from deployments.processes.telemetry_reach import told_until
from deployments.services.watching import retired_watch_end, usual_set, watched, watched_in_use
from deployments.surroundings import objectives
from mlorch_site.lib.errors import Conflict
from monitoring.models import Alert, AlertRule, Objective, RuleStanding
from monitoring.services import ObjectiveWish, objective_set, usual_set_make
from tests.support.live import signed_in

PAGE = "/endpoints/production/clinic/objectives/"
REST = "/api/v1/endpoints/production/clinic"


@pytest.fixture
def served(world):
    world.serve(1)
    world.tick(30)
    return world


@pytest.fixture
def clock_at(served):
    with time_machine.travel(served.now, tick=False):
        yield served


def page(name="emma", where=PAGE, status=200):
    answer = signed_in(name).get(where)
    assert answer.status_code == status
    return answer.content.decode()


def post(name="emma", where=PAGE, **values):
    return signed_in(name).post(where, values)


def test_usual_set__shown_word_for_word_and_made_by_one_click(clock_at):
    shown = page()
    assert "99.5 % of requests succeed, over 28 days" in shown
    assert "are answered within" in shown
    assert "Nothing watches this endpoint" in page(where="/endpoints/production/clinic/")
    slo_ms = usual_set(clock_at.endpoint).objectives[1].slo_ms
    assert post(what="usual", slo_ms=f"{slo_ms:g}", absence_min="0").status_code == 303
    assert all(one.sentence in shown for one in Objective.objects.all())
    assert all(rule.terms.sentence in shown for rule in AlertRule.objects.all())
    assert (Objective.objects.count(), AlertRule.objects.count()) == (2, 4)
    post(what="usual", slo_ms="5", absence_min="0")
    assert Objective.objects.count() == 2
    assert "99.5 % of requests succeed" in page(where="/endpoints/production/clinic/")


@pytest.mark.parametrize(
    "values",
    [
        {"slo_ms": "nan", "absence_min": "0"},
        {"slo_ms": "-5", "absence_min": "0"},
        {"slo_ms": "1e400", "absence_min": "0"},
        {"slo_ms": "5", "absence_min": "-1"},
        {"slo_ms": "5", "absence_min": "99999999"},
        {"slo_ms": "5"},
    ],
)
def test_usual_set__with_values_that_were_not_shown__makes_nothing(clock_at, values):
    assert post(what="usual", **values).status_code in (303, 400)
    assert Objective.objects.count() == 0


def test_objective__by_form__wrong_fields_are_named_and_a_second_replaces_the_first(clock_at):
    wrong = post(what="objective", kind="latency", target_pct="100", window_days="28", bad_min="10")
    assert wrong.status_code == 422
    assert "Say within how many ms" in wrong.content.decode()
    assert "some has to be allowed" in wrong.content.decode()
    for target in ("99.9", "99.9", "99"):
        fields = {"what": "objective", "kind": "availability", "target_pct": target, "window_days": "7"}
        assert post(**fields, bad_min="10").status_code == 303
    assert [float(one.target_pct) for one in Objective.objects.filter(ended_at=None)] == [99.0]
    assert Objective.objects.count() == 2
    assert AlertRule.objects.filter(ended_at=None).count() == 2
    only = Objective.objects.get(ended_at=None)
    assert post(where=f"{PAGE}{only.pk}/end/").status_code == 303
    assert AlertRule.objects.filter(ended_at=None).count() == 0


def test_rule__by_form__is_added_and_ended(clock_at):
    fields = {"what": "rule", "kind": "threshold", "metric": "p95_ms", "direction": "above", "bound": "250"}
    fields |= {"over_min": "5", "for_min": "2", "clear_min": "5", "minimum": "20", "severity": "ticket"}
    assert post(**fields, escalate_after_min="5").status_code == 422  # to whom?
    assert post(**fields, escalate_after_min="5", escalate_to="viewer").status_code == 422
    assert post(**fields).status_code == 303
    rule = AlertRule.objects.get()
    assert rule.sentence == "P95 latency over 5 minutes above 250 ms (from 20 requests on)."
    assert post(where=f"/endpoints/production/clinic/alert-rules/{rule.pk}/end/").status_code == 303
    assert post(where=f"/endpoints/production/clinic/alert-rules/{rule.pk}/end/").status_code == 404


def test_rights__who_sees_is_refused_with_the_role_and_who_does_not_finds_nothing(clock_at):
    assert "ML engineer or Release manager or Administrator" in page("vik")
    assert post("vik", what="objective").status_code == 403
    assert post("rita", what="usual").status_code == 403
    assert post("max", what="usual").status_code == 404
    page("max", status=404)


def test_rest__sets_lists_and_ends(clock_at):
    emma = signed_in("emma")
    wish = {"kind": "latency", "target_pct": 95, "slo_ms": 100}
    made = emma.post(f"{REST}/objectives", wish, content_type="application/json")
    assert made.status_code == 201, made.content
    assert made.json()["status"] == "kept"
    assert made.json()["measured_days"] == 1
    assert made.json()["requests"] > 0
    [listed] = emma.get(f"{REST}/objectives").json()
    assert listed["id"] == made.json()["id"]
    wrong = emma.post(f"{REST}/objectives", {**wish, "target": 1}, content_type="application/json")
    assert wrong.status_code == 400
    rule = {"kind": "absence", "over_min": 10}
    assert emma.post(f"{REST}/alert-rules", rule, content_type="application/json").status_code == 201
    assert emma.post(f"{REST}/alert-rules", rule, content_type="application/json").status_code == 201  # the same again
    assert [one["kind"] for one in emma.get(f"{REST}/alert-rules").json()] == ["burn_fast", "burn_slow", "absence"]
    assert emma.get("/api/v1/alert-rules").json()["count"] == 3
    ended = emma.post(f"{REST}/objectives/{listed['id']}/end", {"reason": "x"}, content_type="application/json")
    assert ended.json()["ended_at"]
    assert signed_in("vik").post(f"{REST}/alert-rules", rule, content_type="application/json").status_code == 403


def test_alert__of_bad_answers__is_on_every_surface_and_is_answered_there(served):
    with served.at():
        wish = ObjectiveWish("availability", 99.0, bad_min=5)
        objective_set(actor=served.people.emma.actor, place=watched(served.endpoint), wish=wish)
    served.errors["1"] = 0.5
    served.tick(60)
    with served.at():
        tasks.watch()
        alert = Alert.objects.get(rule__kind="burn_fast")
        assert alert.sentence in page(where="/alerts/")
        assert alert.sentence in page(where="/")
        shown = page(where=f"/alerts/{alert.pk}/")
        assert "burn rate of the long span" in shown
        assert "Requests per second" in shown
        assert "Firing" in page(where="/endpoints/production/clinic/")
        assert "Firing" in page(where="/alerts/rules/?state=firing")
        act = f"/alerts/{alert.pk}"
        assert post("vik", f"{act}/acknowledge/").status_code == 403
        assert post("emma", f"{act}/acknowledge/", note="I look.").status_code == 303
        assert post("emma", f"{act}/silence/", hours="4", reason="").status_code == 422
        assert post("emma", f"{act}/silence/", hours="4", reason="Known.").status_code == 303
        assert post("emma", f"{act}/nothing/").status_code == 400
        shown = page(where=f"/alerts/{alert.pk}/")
        assert "emma acknowledged it: I look." in shown
        assert "emma silenced the rule until" in shown
        assert alert.sentence not in page(where="/")
        assert alert.sentence not in page("emma", "/alerts/?state=firing")
        assert post("emma", f"{act}/unsilence/").status_code == 303
        rest = signed_in("emma")
        [row] = [one for one in rest.get("/api/v1/alerts").json()["results"] if one["id"] == str(alert.pk)]
        assert (row["state"], row["is_silent"], row["severity"]) == ("acknowledged", False, "urgent")
        until = (served.now + timedelta(hours=1)).isoformat()
        body = {"until": until, "reason": "Known."}
        made = rest.post(f"/api/v1/alerts/{alert.pk}/silence", body, content_type="application/json")
        assert made.status_code == 201, made.content
        assert rest.post(f"/api/v1/alerts/{alert.pk}/unsilence").json()["is_silent"] is False
        assert signed_in("max").get(f"/api/v1/alerts/{alert.pk}").status_code == 404


def test_retired__what_watched_it_ends_and_nothing_is_set_any_more(served):
    with served.at():
        emma, place = served.people.emma.actor, watched(served.endpoint)
        usual_set_make(actor=emma, place=place, usual=usual_set(served.endpoint))
        stable = str(served.endpoint.stable_release_id)
        services.endpoint_retire(
            actor=served.people.mona.actor, endpoint=served.endpoint, expects=stable, reason="Nobody asks."
        )
        assert not place.objectives().exists()
        assert not place.rules().exists()
        assert RuleStanding.objects.exclude(due_at=None).count() == 0
        assert "The endpoint is retired." in page()
        assert (
            post(what="objective", kind="availability", target_pct="99", window_days="7", bad_min="1").status_code
            == 422
        )
        with pytest.raises(Conflict, match="retired"):
            watched_in_use(served.endpoint)
        # Somebody who set one in the very moment of the retirement: the next beat ends it.
        objective_set(actor=emma, place=place, wish=ObjectiveWish("availability", 99.0))
        assert (retired_watch_end(), retired_watch_end()) == (1, 0)


def test_telemetry__of_a_gateway_with_a_full_spool_or_of_none__is_late(served):
    GatewayState.objects.all().delete()
    assert told_until(served.now) is None
    state = GatewayState.objects.create(
        gateway="g1", boot="b1", first_seen_at=served.now, last_seen_at=served.now, stats={"spooled_batches": 300}
    )
    assert told_until(served.now) == served.now - timedelta(seconds=300)
    GatewayState.objects.filter(pk=state.pk).update(stats={})
    assert told_until(served.now) == served.now


def test_gate__sees_the_objectives_of_the_endpoint(clock_at):
    release = clock_at.endpoint.stable_release
    assert objectives(release) == ()
    actor, place = clock_at.people.emma.actor, watched(clock_at.endpoint)
    objective_set(actor=actor, place=place, wish=ObjectiveWish("latency", 95, slo_ms=100))
    assert objectives(release) == ("latency",)


def test_usual_set__of_an_endpoint_that_is_asked_all_the_time__watches_absence_too(clock_at, monkeypatch):
    from deployments.services import watching

    assert usual_set(clock_at.endpoint).rules == ()
    monkeypatch.setattr(watching, "requests_total", lambda *place, minutes: minutes)
    clock_at.endpoint.__class__.objects.update(created_at=clock_at.now - timedelta(days=2))
    assert [rule.kind for rule in usual_set(clock_at.endpoint).rules] == ["absence"]
