"""What the charts of a release mark of a quantile of the latency, and what those of a release show that is over."""

import json

import pytest

from deployments.models import BakeWatch
from deployments.views.release_charts import marks, panels
from tests.deployments.test_chart_pages import attribute, get
from tests.deployments.test_quantile_rollouts import Paced

P95 = {"metric": "latency_p95", "margin_ms": 20}
P99 = {"metric": "latency_p99", "margin_ms": 20}
SLO = {"metric": "latency_over_slo", "slo_ms": 100, "margin": 0.05}


@pytest.fixture
def paced(people) -> Paced:
    return Paced(people, rate=200)


def judged(paced, guardrails):
    """A release whose first share of traffic has been judged."""
    paced.serve(1)
    release = paced.request(2, guardrails=guardrails)
    paced.until(release, "rolling_out")
    paced.tick(30)
    release.rollout.refresh_from_db()
    return release


def test_marks__guardrail_on_p95__its_band_and_where_the_candidate_is_judged_to_be(paced):
    release = judged(paced, [P95])
    (row,) = release.rollout.assessment["guardrails"]
    row |= {"interval_low": -3.5, "interval_high": 12.25}
    found = marks(release, release.rollout)
    band, interval = found.bands["latency"], found.judged["latency"]

    assert band.low == pytest.approx(row["baseline_value"], abs=0.001)
    assert band.high - band.low == pytest.approx(20)
    assert interval.low == pytest.approx(row["baseline_value"] + row["interval_low"], abs=0.001)
    assert interval.high == pytest.approx(row["baseline_value"] + row["interval_high"], abs=0.001)
    drawn = json.loads(found.drawing)
    assert drawn["judgedNames"] == {"latency": "P95"}
    assert drawn["limits"] == {"latency": {"value": band.high, "text": "stable P95 + margin"}}


def test_panels__guardrail_on_p99__the_latency_leads_and_its_p99_is_drawn(paced):
    release = judged(paced, [P99])
    first = panels(release, release.rollout)[0]

    assert (first.kind, first.tall) == ("latency", True)
    assert {line.key: line.on_request for line in first.lines} == {"p50": True, "p95": False, "p99": False}
    assert first.lines[first.spoken].key == "p99"


def test_marks__slo_beside_the_quantile__the_line_is_the_slo(paced):
    release = judged(paced, [P99, SLO])

    assert json.loads(marks(release, release.rollout).drawing)["limits"]["latency"] == {"value": 100, "text": "SLO"}


def test_marks__no_upper_end_of_the_interval_yet__it_is_open(paced):
    release = judged(paced, [P99])
    (row,) = release.rollout.assessment["guardrails"]
    row |= {"interval_low": -3.5, "interval_high": None}
    found = marks(release, release.rollout)

    assert found.judged["latency"].low > 0
    assert json.loads(found.drawing)["judged"]["latency"][1] is None


def test_marks__neither_end_is_known__no_interval(paced):
    release = judged(paced, [P99])
    (row,) = release.rollout.assessment["guardrails"]
    row |= {"interval_low": None, "interval_high": None}

    assert "latency" not in marks(release, release.rollout).judged


def test_release_page__it_is_over__its_own_time_is_shown_and_nothing_is_followed(paced):
    release = judged(paced, [P99])
    paced.until(release, "succeeded", most_s=300)
    BakeWatch.objects.filter(release=release).update(outcome="kept", due_at=None)
    html = get(paced, "release", release.pk)
    release.refresh_from_db()

    points = json.loads(html.partition('id="chart-points" type="application/json">')[2].partition("</script>")[0])
    assert points["from"] < release.started_at.timestamp() < release.ended_at.timestamp() < points["to"]
    assert {point["arm"] for point in points["points"]} == {"stable", "candidate"}
    assert 'id="chart-state"' not in html


def test_release_page__its_measurements_are_gone__says_so(paced):
    release = judged(paced, [P99])
    paced.until(release, "succeeded", most_s=300)
    BakeWatch.objects.filter(release=release).update(outcome="kept", due_at=None)
    type(release).objects.filter(pk=release.pk).update(started_at=None)
    html = get(paced, "release", release.pk)

    assert "There are no measurements of this rollout" in html
    assert attribute(html, "data-chart") == []
