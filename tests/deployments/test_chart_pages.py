"""What pages hand to the charts: lines, guardrails, step markers, table twins; and the figures of a report."""

import json
import re
from html import unescape

import pytest
from django.urls import reverse

from deployments import services
from tests.deployments.world import GUARDRAILS
from tests.support.live import signed_in

KINDS = ["rate", "latency", "errors"]
LED = ["errors", "rate", "latency"]  # of a release: the chart of the deciding guardrail comes first
LIMITS = [*GUARDRAILS, {"metric": "latency_over_slo", "slo_ms": 100, "margin": 0.05}]


def attribute(html: str, name: str) -> list[str]:
    return [unescape(text) for text in re.findall(rf'\s{name}="([^"]*)"', html)]


def get(world, *where):
    with world.at():
        answer = signed_in("vik").get(reverse(*where[:1], args=where[1:]))
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.fixture
def canary(world):
    """A canary with its first share of traffic."""
    world.serve(1)
    release = world.request(2, guardrails=LIMITS)
    world.until(release, "rolling_out")
    world.tick(7)
    assert world.weights.get("2") == 10
    return release


def test_release_page__rolling_out__three_charts_with_twins_limits_and_markers(world, canary):
    html = get(world, "release", canary.pk)

    assert attribute(html, "data-chart") == LED
    assert [json.loads(lines)[0]["name"] for lines in attribute(html, "data-lines")] == [
        "stable",
        "stable",
        "stable p50",
    ]
    assert all(f'id="{table}"' in html for table in attribute(html, "data-table"))
    marks = json.loads(attribute(html, "data-marks")[0])
    assert [marker["text"] for marker in marks["markers"]] == ["10 %"]
    assert {kind: limit["value"] for kind, limit in marks["limits"].items()} == {"latency": 100, "errors": 10}
    [low, high] = marks["bands"]["errors"]
    assert high - low == 10
    assert marks["judged"]["errors"][0] <= low <= marks["judged"]["errors"][1]
    assert html.count("chart-tall") == 1
    assert set(attribute(html, "data-live-topics")) == {f"release.{canary.pk},approvals"}
    assert int(attribute(html, "data-live-since")[0]) > 0


def test_release_page__not_begun_yet__charts_are_there_already(world):
    world.serve(1)
    html = get(world, "release", world.request(2).pk)

    assert attribute(html, "data-chart") == LED


def test_endpoint_page__three_charts_with_twins(world):
    world.serve(1)
    html = get(world, "endpoint", "production", "clinic")

    assert attribute(html, "data-chart") == KINDS
    assert all(f'id="{table}"' in html for table in attribute(html, "data-table"))
    assert attribute(html, "data-live-topics") == ["endpoint.production.clinic"]


def test_report__after_a_rollout__charts_are_drawn_out_of_the_document(world, canary):
    world.until(canary, "succeeded")
    html = get(world, "release-report", canary.pk)

    assert html.count('<svg class="report-chart"') == 4
    assert "<title>P95 latency</title><desc>P95 latency: candidate (version" in html
    assert "wanted between 10 and 100 %, 100 at the end; seen between 0 and 50 %" in html
    assert "Hash verified." in html
    assert attribute(html, "data-chart") == []


def test_report__never_began__no_charts(world):
    world.serve(1)
    release = world.request(2)
    services.release_abort(actor=world.people.mona.actor, release=release, reason="not needed")
    world.until(release, "aborted")

    assert "report-chart" not in get(world, "release-report", release.pk)
