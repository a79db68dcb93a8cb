"""Drift from the gateway's report to the word: plans, references, counts, the guardrail, the pages."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from dataplane.wire import shapes
from dataplane.wire.drift_report import DriftPlace, DriftPlan, DriftPlans, DriftReport, DriftWindow, LearnedColumns
from dataplane.wire.feature_counts import counts_for
from deployments.processes.drift_reports import sampled_places
from deployments.rollout.guardrails import read_guardrails
from deployments.services.watching import watched
from mlorch_site.lib.errors import Forbidden, Invalid
from monitoring import models
from monitoring.drift.feature_drift import DriftWord
from monitoring.drift_selectors import drift_table, prediction_shift
from monitoring.models import DriftReference
from monitoring.services import drift_reference_learn, drift_report_store, retention_apply
from registry.models import Version
from tests.monitoring.windows import NOW, at

pytestmark = pytest.mark.django_db
EXAMPLE = {"dataframe_split": {"columns": ["age"], "data": [[place] for place in range(200)]}}


@pytest.fixture
def place(world: Any) -> DriftPlace:
    world.serve(1)
    Version.objects.filter(number=1).update(evidence={"input_example": EXAMPLE})
    return DriftPlace(world.endpoint.environment.name, world.endpoint.name, "1")


def tell(sequence: int, place: DriftPlace, *, gateway: str = "g1", **fields: Any) -> list[DriftPlan]:
    report = DriftReport("b1", sequence, [place], **fields)
    return drift_report_store(gateway=gateway, report=report, places=sampled_places({place}), now=NOW)


def window(plan: DriftPlan, values: list[Any], predictions: list[Any] | None = None, **fields: Any) -> DriftWindow:
    known = {"arm": "stable", "release": "r1", "start": int((NOW - timedelta(minutes=5)).timestamp())}
    inputs = {plan.inputs[0].name: counts_for(plan.inputs[0], values)} if values else {}
    said = {one.name: counts_for(one, predictions or []) for one in plan.predictions}
    requests = len(values) or len(predictions or [])
    return DriftWindow(
        plan.place,
        **known | fields,
        plan=plan.key,
        requests=requests,
        answers=len(predictions or []),
        inputs=inputs,
        predictions=said,
    )


def learned_plan(place: DriftPlace, values: list[Any]) -> DriftPlan:
    (plan,) = tell(1, place)
    assert plan.learns_predictions
    (plan,) = tell(2, place, learned=[LearnedColumns(place, True, {"prediction": values})])
    assert not plan.learns_predictions
    return plan


def test_report__of_no_such_place__stores_nothing(world, place):
    stranger = DriftPlace(place.environment, "nobody", "1")
    assert tell(1, stranger) == []
    assert DriftReference.objects.count() == 0


def test_report__sent_twice_or_late__the_larger_window_stays_and_words_follow(world, place):
    (plan,) = tell(1, place)
    small, large = window(plan, [5] * 60), window(plan, [5] * 120)
    for sequence, one in enumerate((small, large, large, small), 2):
        tell(sequence, place, windows=[one])
    tell(2, place, gateway="g2", windows=[small])
    table = drift_table(watched(world.endpoint), 1, since=NOW - timedelta(hours=1), until=NOW)
    (row,) = table.rows
    assert table.requests == 180
    assert (row.drift.word, sum(row.current.bins)) == (DriftWord.LARGE, 180)
    assert sum(one for _, one, _ in row.bins) == pytest.approx(1)


def test_report__clock_that_is_wrong__is_refused_whole(world, place):
    (plan,) = tell(1, place)
    late = window(plan, [5], start=int(NOW.timestamp()) - 9000)
    with pytest.raises(Invalid):
        tell(2, place, windows=[window(plan, [5]), late])


def test_table__counts_of_other_bins__are_not_compared(world, place):
    (plan,) = tell(1, place)
    tell(2, place, windows=[window(plan, [5] * 90)])
    with at():
        drift_reference_learn(
            actor=world.people.mona.actor, place=watched(world.endpoint), version=Version.objects.get(number=1)
        )
    since = NOW - timedelta(hours=1)
    assert "being learned" in drift_table(watched(world.endpoint), 1, since=since, until=NOW).why_none
    values = LearnedColumns(place, False, {"age": [float(one % 7) for one in range(200)]})
    (plan,) = tell(3, place, learned=[values])
    assert not plan.learns_inputs
    table = drift_table(watched(world.endpoint), 1, since=since, until=NOW)
    assert [row.drift.word for row in table.rows] == [DriftWord.TOO_FEW]
    assert DriftReference.objects.get(version=1).learning == {}


def test_learned__the_same_report_again__counts_once(world, place):
    tell(1, place)
    half = LearnedColumns(place, True, {"prediction": ["a"] * 100})
    (plan,) = tell(2, place, learned=[half])
    (plan,) = tell(2, place, learned=[half])
    assert plan.learns_predictions
    (plan,) = tell(3, place, learned=[half])
    assert not plan.learns_predictions


def test_learn_anew__without_the_role__is_forbidden(world, place):
    with pytest.raises(Forbidden):
        drift_reference_learn(
            actor=world.people.vik.actor, place=watched(world.endpoint), version=Version.objects.get(number=1)
        )


def shift_of(place: DriftPlace) -> Any:
    since = NOW - timedelta(hours=1)
    arms = (("candidate", "r2"), ("stable", ""))
    return prediction_shift(place.environment, place.endpoint, arms=arms, since=since, alpha=0.05)


def test_prediction_shift__arms_of_the_same_minutes__are_compared_and_others_not(world, place):
    plan = learned_plan(place, ["yes", "no"] * 100)
    stable = ["yes", "no"] * 200
    earlier = int((NOW - timedelta(minutes=9)).timestamp())
    tell(3, place, windows=[window(plan, [], stable), window(plan, [], ["no"] * 400, start=earlier)])
    assert shift_of(place) == []
    tell(4, place, windows=[window(plan, [], ["yes"] * 300, arm="candidate", release="r2")])
    ((name, found),) = shift_of(place)
    assert (name, found.value, found.candidate_n, found.baseline_n) == ("prediction", 0.5, 300, 400)
    assert 0.1 < found.low < 0.5 < found.high


def test_guardrail__is_read_strictly_and_said():
    assert read_guardrails([{"metric": "prediction_shift", "margin": 0.3}]) == [
        {"metric": "prediction_shift", "margin": 0.3}
    ]
    for wrong in ({"margin": 1.5}, {}, {"margin": 0.1, "column": "x"}):
        with pytest.raises(Invalid):
            read_guardrails([{"metric": "prediction_shift", **wrong}])


def test_retention__old_counts__go(world, place):

    (plan,) = tell(1, place)
    tell(2, place, windows=[window(plan, [5])])
    retention_apply(now=NOW + timedelta(days=15))
    assert not models.DriftWindow.objects.exists()


def test_route__with_the_control_token__answers_plans_and_refuses_what_is_no_report(world, place, settings):
    settings.CONTROL_TOKEN = "control-token"
    url, known = "/internal/v1/gateways/g1/drift", Client(headers={"Authorization": "Bearer control-token"})
    body = shapes.write(DriftReport("b1", 1, [place]))
    answer = known.post(url, body, content_type="application/json")
    (plan,) = shapes.read(DriftPlans, answer.content).plans
    assert (plan.place, plan.inputs[0].name) == (place, "age")
    assert known.post(url, b'{"boot": "b1"}', content_type="application/json").status_code == 400
    assert Client().post(url, body, content_type="application/json").status_code in (401, 403)


def test_pages__word_bins_and_what_may_be_done__are_shown(world, place, client):
    (plan,) = tell(1, place)
    tell(2, place, windows=[window(plan, [5] * 90)])
    base = f"/endpoints/{place.environment}/{place.endpoint}/drift"
    with at():
        client.force_login(world.people.vik.user)
        shown = client.get(f"{base}/").content.decode()
        assert "Large" in shown
        assert "90 sampled requests against 200 rows of the version's input example" in shown
        feature = client.get(f"{base}/1/feature/", {"name": "age"}).content.decode()
        assert "Kolmogorov–Smirnov" in feature
        assert "100.0 %" in feature
        assert client.get(f"{base}/1/feature/", {"name": "<b>"}).status_code == 404
        assert client.post(f"{base}/1/learn/").status_code == 403
        lines = b"".join(client.get(f"{base}.csv")).decode().splitlines()
        assert lines[1].startswith('"inputs","1","age","number","large","90","90",')
        client.force_login(world.people.emma.user)
        assert client.post(f"{base}/1/learn/").status_code == 303
        assert client.post(f"{base}/77/learn/").status_code == 404
        assert "being learned" in client.get(f"{base}/").content.decode()
