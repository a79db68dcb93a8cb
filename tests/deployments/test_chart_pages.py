"""What pages hand to the charts: lines, guardrails, step markers, table twins; and the figures of a report."""

import json
import re
from html import unescape

import pytest
from django.urls import reverse

from tests.deployments.world import GUARDRAILS
from tests.support.live import signed_in

KINDS = ["rate", "latency", "errors"]
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

    assert attribute(html, "data-chart") == KINDS
    assert [json.loads(spec)["lines"][0]["key"] for spec in attribute(html, "data-spec")] == [
        "rate",
        "p50",
        "error_share",
    ]
    assert all(f'id="{table}"' in html for table in attribute(html, "data-table"))
    assert [marker["text"] for marker in json.loads(attribute(html, "data-markers")[0])] == ["10 %"]
    assert float(attribute(html, "data-limit-latency")[0]) == 100
    assert float(attribute(html, "data-limit-errors")[0]) == pytest.approx(10)
    assert set(attribute(html, "data-live-topics")) == {f"release.{canary.pk}"}
    assert int(attribute(html, "data-live-since")[0]) > 0


def test_release_page__not_begun_yet__charts_are_there_already(world):
    world.serve(1)
    html = get(world, "release", world.request(2).pk)

    assert attribute(html, "data-chart") == KINDS


def test_endpoint_page__three_charts_with_twins(world):
    world.serve(1)
    html = get(world, "endpoint", "production", "clinic")

    assert attribute(html, "data-chart") == KINDS
    assert all(f'id="{table}"' in html for table in attribute(html, "data-table"))
    assert attribute(html, "data-live-topics") == ["endpoint.production.clinic"]


def test_report__after_a_rollout__figures_say_what_the_windows_said(world, canary):
    world.until(canary, "succeeded")
    html = get(world, "release-report", canary.pk)
    figures = [
        json.loads(text) for text in re.findall(r'<script id="figure-\w+" type="application/json">(.*?)</script>', html)
    ]

    assert attribute(html, "data-figure") == [f"figure-{kind}" for kind in KINDS]
    assert [trace["name"] for trace in figures[0]["data"]] == ["stable", "candidate"]
    assert [note["text"] for note in figures[2]["layout"]["annotations"]][-1] == "stable + margin"
    assert "Requests per second, newest: stable" in html
