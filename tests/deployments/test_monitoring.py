"""Pages, CSV and REST of monitoring: what is shown over a span, to whom, in how many queries."""

import csv
import io
import json
import re
from html import unescape

import pytest
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from deployments import services
from deployments.models import Endpoint
from deployments.views.monitoring import chosen_versions
from monitoring.services import windows_roll_up
from tests.support import crowd
from tests.support.live import signed_in

HISTORY = ["production", "clinic"]


def get(world, route, who="vik", args=(), status=200, **query):
    with world.at():
        answer = signed_in(who).get(reverse(route, args=args), query)
    assert answer.status_code == status
    return answer


def rows(answer) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))


@pytest.fixture
def served(world):
    """Version 1, with a version 2 that was taken back, rolled up."""
    world.serve(1)
    world.errors = {"2": 1.0}
    world.until(world.request(2), "rolled_back")
    world.tick(3)
    windows_roll_up()
    return world


def test_page__figures_and_table__with_their_n_and_over_the_time_that_was_observed(served):
    answer = get(served, "monitoring", range="1h")
    seen, html = answer.context["seen"], answer.content.decode()
    (row,) = seen.rows
    born = row.endpoint.created_at

    assert (seen.delivery.promotion.part, seen.delivery.promotion.whole) == (1, 2)
    assert "1 of n = 2" in html
    assert row.traffic.versions == [1, 2]
    assert row.traffic.observed_s == (served.now - born).total_seconds()
    assert row.traffic.summary.rate == row.traffic.summary.requests / row.traffic.observed_s
    assert row.last.version.number == 2
    assert f"n = {seen.together.summary.requests} requests" in html
    assert '<svg class="sparkline"' in html


def test_page__other_owner_or_environment__nothing_and_a_way_back(served):
    served.model.owner = "cardio"
    served.model.save()

    assert "production/clinic" in get(served, "monitoring", owner="cardio").content.decode()
    for query in ({"owner": "oncology"}, {"environment": "staging"}, {"q": "nothing-like-this"}):
        page = get(served, "monitoring", **query)
        assert "Nothing matches" in page.content.decode()
        assert page.context["seen"].delivery.promotion.whole == 0


def test_page__span_that_is_none__says_why_and_shows_the_last_day(served):
    page = get(served, "monitoring", status=422, **{"from": "yesterday"}).content.decode()

    assert "names no moment" in page
    assert "the last 24 hours" in page


def test_page__hidden_endpoint__is_in_no_figure(served):
    seen = get(served, "monitoring", who="max").context["seen"]

    assert (seen.rows, seen.together.summary.requests, seen.delivery.promotion.whole) == ([], 0, 0)
    assert rows(get(served, "monitoring-csv", who="max")) == []
    assert get(served, "api-monitoring", who="max").json()["endpoints"] == []
    for route in ("endpoint-history", "endpoint-history-csv", "api-endpoint-history"):
        get(served, route, who="max", args=HISTORY, status=404)


def test_before__span_before__its_own_figures(served):
    page = get(served, "monitoring-before", range="1h").content.decode()

    assert "(0 of 0)" in page
    assert "n = 0" in page


def test_page__ordered__most_first_and_names_otherwise(world, people):
    crowd.add(people, world.environment, 3)
    busy = Endpoint.objects.order_by("name")[1]
    crowd._window(busy, "stable", busy.stable_release)
    with CaptureQueriesContext(connection) as few:
        browser = signed_in("vik")
        page = browser.get(reverse("monitoring"), {"order": "rate"})
    assert page.context["seen"].rows[0].endpoint == busy
    assert 'aria-current="true" class="fw-bold">Requests/s' in page.content.decode()
    crowd.add(people, world.environment, 9)
    with CaptureQueriesContext(connection) as many:
        signed_in("vik").get(reverse("monitoring"), {"order": "rate"})
    assert len(many) == len(few)


def test_page__more_than_are_put_together__says_so_and_counts_all(world, people, monkeypatch):
    monkeypatch.setattr("deployments.traffic_history.MERGED_MAX", 2)
    crowd.add(people, world.environment, 3)
    answer = signed_in("vik").get(reverse("monitoring"), {"order": "p95"})
    seen = answer.context["seen"]

    assert (seen.sortable, seen.together.summary.p95, seen.together.summary.requests) == (False, None, 18)
    assert "Latencies of 3 endpoints are not put together here" in answer.content.decode()
    assert [row.traffic.summary.requests for row in seen.rows] == [6, 6, 6]


def test_csv__as_the_page__and_no_formula_in_a_cell(served):
    served.model.owner = "=1+1"
    served.model.save()
    (row,) = rows(get(served, "monitoring-csv", range="1h"))

    assert (row["endpoint"], row["versions"], row["owner"]) == ("clinic", "1 2", "'=1+1")
    assert float(row["error_share"]) > 0


def test_history__charts__latency_first_and_tall_with_marks_of_releases(served):
    page = get(served, "endpoint-history", args=HISTORY, range="1h").content.decode()
    message = json.loads(re.findall(r'id="chart-points" type="application/json">(.*?)</script>', page)[0])
    marks = json.loads(unescape(re.findall(r'data-marks="([^"]*)"', page)[0]))

    assert re.findall(r'data-chart="(\w+)"', page) == ["latency", "errors", "rate"]
    assert message["to"] - message["from"] == 3600
    assert {point["arm"] for point in message["points"]} == {"stable", "candidate"}
    assert [marker["text"] for marker in marks["markers"]] == ["4 events"]
    for text in ("version 1 begins", "version 1 succeeded", "version 2 begins", "version 2 rolled back"):
        assert text in page


def test_history__by_version__a_line_and_a_row_for_each(served):
    answer = get(served, "endpoint-history", args=HISTORY, range="1h", by="version")
    lines = json.loads(unescape(re.findall(r'data-lines="([^"]*)"', answer.content.decode())[2]))

    assert [line["arm"] for line in lines] == ["version 2", "version 1"]
    assert len({line["dash"] for line in lines}) == 2
    assert [one.versions for one in answer.context["versions"]] == [[2], [1]]
    assert {point["arm"] for point in answer.context["points"]["points"]} == {"version 1", "version 2"}


def test_history__nobody_asks_any_more__says_since_when(served):
    served.rate = 0
    served.tick(120)
    quiet = get(served, "endpoint-history", args=HISTORY, range="1h")

    assert "No data since" in quiet.content.decode()


def test_history__csv_and_rest__the_same_points(served):
    told = get(served, "api-endpoint-history", args=HISTORY, range="1h", by="version").json()
    listed = rows(get(served, "endpoint-history-csv", args=HISTORY, range="1h", by="version"))

    assert [int(row["requests"]) for row in listed] == [point["requests"] for point in told["points"]]
    assert [row["version"] for row in told["versions"]] == [2, 1]
    assert {event["text"] for event in told["events"]} >= {"1 begins", "2 rolled back"}


@pytest.mark.parametrize(
    ("route", "args", "query"),
    [
        ("api-monitoring", (), {"range": "2y"}),
        ("api-monitoring", (), {"order": "size"}),
        ("api-endpoint-history", HISTORY, {"from": "2026-11-24\x00"}),
        ("api-endpoint-history", HISTORY, {"by": "day"}),
    ],
)
def test_rest__what_makes_no_sense__is_refused(served, route, args, query):
    assert get(served, route, args=args, status=400, **query).json()["error"]["code"] == "invalid"


def test_rest__a_rollback_by_hand__is_marked_as_the_way_back(served):
    served.errors = {}
    served.until(served.request(3, strategy={"kind": "immediate"}), "succeeded")
    served.tick()
    with served.at():
        back = services.endpoint_rollback(
            actor=served.people.mona.actor,
            endpoint=served.endpoint,
            expects=str(served.endpoint.stable_release_id),
            reason="worse",
        )
    served.until(back, "succeeded")
    told = get(served, "api-endpoint-history", args=HISTORY, range="1h").json()

    assert [event["text"] for event in told["events"]][-1] == "back to 1"


@pytest.mark.parametrize(
    ("asked", "compared"),
    [
        ({}, [2, 1]),
        ({"version": ["1"]}, [1]),
        ({"version": ["1", "2"]}, [2, 1]),
        ({"version": ["1,2"]}, [2, 1]),
        ({"version": ["7", "\x00", "x"]}, [2, 1]),
    ],
)
def test_history__versions_chosen__only_their_lines_and_they_stay_in_the_address(served, asked, compared):
    answer = get(served, "endpoint-history", args=HISTORY, range="1h", by="version", **asked)
    page = answer.content.decode()
    lines = json.loads(unescape(re.findall(r'data-lines="([^"]*)"', page)[2]))
    boxes = re.findall(r'name="version"\s+value="(\d)"( checked)?', page)

    assert [line["arm"] for line in lines] == [f"version {number}" for number in compared]
    assert [int(number) for number, checked in boxes if checked] == compared
    assert f"&amp;version={'%2C'.join(map(str, compared))}" in page
    assert '<input type="hidden" name="range" value="1h">' in page


def test_history__more_versions_than_lines_can_be_told_apart__the_newest_four():
    request = RequestFactory().get("/", {"version": ["9", "8", "7", "6", "5", "1"]})

    assert chosen_versions(request, list(range(9, 0, -1))) == [9, 8, 7, 6]


def test_releases__of_one_that_rolled_out__a_small_picture_of_its_requests(served):
    html = get(served, "releases").content.decode()

    assert html.count('requests per second while it rolled out"') == 2
