"""Charts in a browser, without the product: what the server finished is put in place, the same whether at once or piece
by piece.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.template import engines
from playwright.sync_api import Browser, Page, Route, WebSocketRoute, expect

from monitoring.charts import PANELS, Band, Marker, Marks, finished
from monitoring.points import Point
from tests.monitoring.windows import NOW

pytestmark = pytest.mark.browser

SITE = "http://charts.test"
PAGE = """{% load static %}<!DOCTYPE html><html lang="en" data-bs-theme="light" data-time-zone="{{ zone }}"><head><title>Charts</title>
<link rel="stylesheet" href="{% static 'css/mlorch.css' %}"></head><body>{% include "components/chart_marks.html" %}
{% include "components/charts.html" %}<script src="{% static 'js/socket.js' %}" defer></script>
{% include "components/chart_scripts.html" %}</body></html>"""
STABLE = Point(NOW, 1, "stable", 1, requests=30, errors=3, client_errors=0, p50=4.0, p95=9.5, p99=20.0)
CANDIDATE = replace(STABLE, arm="candidate", version=2, requests=10)
T = int(NOW.timestamp())
IN_TWO_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def later(point: Point, seconds: int, **changes: Any) -> Point:
    return replace(point, start=point.start + timedelta(seconds=seconds), **changes)


EARLY = [STABLE, CANDIDATE, later(STABLE, 1, requests=40)]
LATE = [later(STABLE, 50), later(STABLE, 51, requests=0, p50=None, p95=None, p99=None)]
MARKS = Marks([Marker(T + 1, "10 %"), Marker(T - 3600, "too old")], {"errors": 2.5})


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 1600})  # in which all charts are seen
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.route(f"{SITE}/static/**", serve)
    yield page
    context.close()
    assert problems == []


def serve(route: Route) -> None:
    route.fulfill(path=str(finders.find(route.request.url.removeprefix(f"{SITE}/static/"))))


def message(points: list[Point], sequence: int = 1) -> dict[str, Any]:
    return {"sequence": sequence, **finished(points, NOW - timedelta(minutes=10))}


def show(page: Page, points: dict[str, Any] | None, zone: str = "UTC", marks: Marks = MARKS) -> None:
    """Open a page of a span that is over, or without `points` one that follows an endpoint."""
    known = {"charts": PANELS, "marks": marks, "points": points, "zone": zone}
    html = engines["django"].from_string(PAGE).render({**known, "environment": "production", "endpoint": "cancer"})
    page.route(f"{SITE}/", lambda route: route.fulfill(body=html, content_type="text/html; charset=utf-8"))
    page.goto(f"{SITE}/")
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")


def follow(page: Page, *messages: dict[str, Any]) -> None:
    """Open a page that follows an endpoint and is told these messages."""

    def tell(socket: WebSocketRoute) -> None:
        for said in messages:
            socket.send(json.dumps(said))

    page.route_web_socket("ws://charts.test/ws/charts/production/cancer/?since=0", tell)
    show(page, None)


def followed(page: Page) -> Callable[[dict[str, Any]], None]:
    """Open a page that follows an endpoint, was told the early points, and hears what the answer is called with."""
    sockets: list[WebSocketRoute] = []

    def begin(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        socket.send(json.dumps(message(EARLY)))

    page.route_web_socket("ws://charts.test/ws/charts/production/cancer/?since=0", begin)
    show(page, None)
    return lambda said: sockets[-1].send(json.dumps(said))


def until_drawn(page: Page, points: int) -> None:
    """Wait until all charts were drawn with so many points, and their tables filled."""
    page.wait_for_function(
        """points => Array.from(document.querySelectorAll("[data-chart]")).every(box => box.dataset.points === String(points))
           && Array.from(document.querySelectorAll("tbody")).every(body => body.rows.length === points)""",
        arg=points,
    )


def drawn(page: Page, kind: str) -> dict[str, Any]:
    """What Plotly was given for a chart, and what is said beside it."""
    found: dict[str, Any] = page.locator(f"[data-chart={kind}]").evaluate(
        """box => ({
             traces: box.data.map(({name, x, y, line}) => ({name, x, y, line})),
             shapes: box.layout.shapes, notes: box.layout.annotations, sentence: box.getAttribute("aria-label"),
             rows: Array.from(document.querySelectorAll(`#${box.dataset.table} tbody tr`), row => Array.from(row.cells, cell => cell.innerText))
           })"""
    )
    return found


def test_finished__values__where_the_server_put_them_and_broken_where_nothing_was_asked(page: Page) -> None:
    show(page, message([*EARLY, *LATE]))
    until_drawn(page, 5)
    stable, candidate = drawn(page, "rate")["traces"]

    assert (stable["name"], stable["y"], stable["line"]["dash"]) == ("stable", [30, 40, None, 30, 0], "solid")
    assert stable["x"][:2] == [T * 1000, (T + 1) * 1000]
    assert (candidate["name"], candidate["y"], candidate["line"]["dash"]) == ("candidate", [10], "dash")
    assert [trace["name"] for trace in drawn(page, "latency")["traces"]][:3] == [
        "stable p50",
        "stable p95",
        "stable p99",
    ]


def test_finished__marks__limit_and_the_moments_of_the_span(page: Page) -> None:
    show(page, message([*EARLY, *LATE]))
    until_drawn(page, 5)
    found = drawn(page, "errors")

    assert [(shape["x0"], shape["y0"]) for shape in found["shapes"]] == [((T + 1) * 1000, 0), (0, 2.5)]
    assert [note["text"] for note in found["notes"]] == ["stable", "candidate", "10 %", "stable + margin"]


def test_finished__no_point__the_sentence_and_no_axis_of_a_time_that_never_was(page: Page) -> None:
    show(page, message([]))
    page.wait_for_function("document.querySelector('[data-chart=errors]').layout !== undefined")
    found = drawn(page, "errors")
    axes = page.locator("[data-chart=errors]").evaluate("box => [box.layout.xaxis.visible, box.layout.yaxis.visible]")

    assert (found["traces"], found["shapes"], axes) == ([], None, [False, False])
    assert [note["text"] for note in found["notes"]] == ["Share of errors in %: no requests yet."]


def test_finished__moments_close_together__no_text_covers_another_and_none_is_lost(page: Page) -> None:
    near = [Marker(T + second / 10, str(second)) for second in (10, 11, 12, 500)]
    show(page, message([*EARLY, *LATE]), marks=Marks(near, {}))
    until_drawn(page, 5)
    notes = [note for note in drawn(page, "rate")["notes"] if note.get("yref") == "paper" and note["y"] == 1]

    assert [note["text"] for note in notes] == ["10", "11 +1", "500"]
    assert notes[1]["hovertext"] == "11, 12"
    assert [note["yshift"] > 0 for note in notes] == [False, True, False]


def test_finished__judged__the_band_of_the_guardrail_and_the_interval_cut_at_the_roof(page: Page) -> None:
    marks = Marks([], {"errors": 12.0}, {"errors": Band(10.0, 12.0)}, {"errors": Band(9.0, 100.0)}, T - 20.0)
    show(page, message([*EARLY, *LATE]), marks=marks)
    until_drawn(page, 5)
    found = drawn(page, "errors")
    rects = [(shape["x0"], shape["y0"], shape["y1"]) for shape in found["shapes"] if shape["type"] == "rect"]

    assert rects == [(0, 10.0, 12.0), (0.98, 9.0, 31.5)]
    assert "judged 9.0 to 100.0" in [note["text"] for note in found["notes"]]
    axis = page.locator("[data-chart=errors]").evaluate("box => box.layout.xaxis.range")
    assert axis == [(T - 20) * 1000, (T + 51) * 1000]


def test_finished__judged_without_an_upper_end__reaches_to_the_roof_and_is_named(page: Page) -> None:
    marks = Marks([], {}, {"latency": Band(9.0, 29.0)}, {"latency": Band(8.0, None)}, judged_names={"latency": "P95"})
    show(page, message([*EARLY, *LATE]), marks=marks)
    until_drawn(page, 5)
    found = drawn(page, "latency")
    rects = [(shape["y0"], shape["y1"]) for shape in found["shapes"] if shape["type"] == "rect"]

    assert rects == [(9.0, pytest.approx(9.5 * 1.05)), (8.0, pytest.approx(9.5 * 1.05))]
    assert "judged P95 above 8.0" in [note["text"] for note in found["notes"]]


def test_live__nothing_came__loading_and_then_since_when_there_is_no_data(page: Page) -> None:
    follow(page)
    state = page.locator("#chart-state")
    expect(state).to_have_text("Loading the charts …")
    page.unroute(f"{SITE}/")
    follow(page, *pieces())
    expect(state).to_have_text("No data since 12:00:51.")


def test_finished__twins__sentence_and_rows_newest_first_in_the_person_s_time_zone(page: Page) -> None:
    show(page, message([*EARLY, *LATE]), zone="Asia/Kolkata")
    until_drawn(page, 5)
    found = drawn(page, "rate")

    assert found["sentence"] == "Requests per second, newest: stable 0.0, candidate 10.0."
    assert found["rows"][0] == ["17:30:51", "stable", "1", "0.0"]
    assert found["rows"][-1] == ["17:30:00", "stable", "1", "30.0"]
    assert found["traces"][0]["x"][0] == (T + 5.5 * 3600) * 1000  # what the clock in Kolkata shows, as Plotly places it


def test_finished__in_the_person_s_time_zone__the_axis_has_its_clock(page: Page) -> None:
    show(page, message([*EARLY, *LATE]), zone="Asia/Kolkata")
    until_drawn(page, 5)
    ticks = page.locator("[data-chart=rate] .xtick").all_text_contents()

    assert ticks
    assert all(text.startswith("17:30:") for text in ticks[1:])


def pieces() -> list[dict[str, Any]]:
    return [message(EARLY), message([later(STABLE, 50), CANDIDATE], 2), message([*LATE, CANDIDATE], 3)]


def test_live__piece_by_piece__the_same_as_at_once(page: Page) -> None:
    show(page, message([*EARLY, *LATE]))
    until_drawn(page, 5)
    finished = [drawn(page, panel.kind) for panel in PANELS]
    page.unroute(f"{SITE}/")
    follow(page, *pieces())
    until_drawn(page, 5)

    assert [drawn(page, panel.kind) for panel in PANELS] == finished


@pytest.mark.parametrize("order", [1, -1])
def test_live__a_point_comes_late__is_put_in_its_place_and_closes_the_gap(page: Page, order: int) -> None:
    first, second = [STABLE, later(STABLE, 50)], [later(STABLE, 25, requests=7)]
    messages: list[Callable[[int], dict[str, Any]]] = [
        lambda sequence: message(first, sequence),
        lambda sequence: message(second, sequence),
    ]
    follow(page, *(make(sequence) for sequence, make in enumerate(messages[::order], 1)))
    until_drawn(page, 3)

    assert drawn(page, "rate")["traces"][0]["y"] == [30, 7, 30]


def test_live__theme_changes__colours_do(page: Page) -> None:
    follow(page, *pieces())
    until_drawn(page, 5)
    light = drawn(page, "rate")["traces"][0]["line"]["color"]
    page.evaluate("document.documentElement.dataset.bsTheme = 'dark'")
    page.wait_for_function(
        "light => document.querySelector('[data-chart=rate]').data[0].line.color !== light", arg=light
    )

    assert light == "#1769c4"


def test_live__several_charts__one_is_drawn_in_a_frame(page: Page) -> None:
    tell = followed(page)
    until_drawn(page, 3)
    page.evaluate(
        """() => {
             window.drawn = []; let frame = 0;
             const count = () => { frame += 1; requestAnimationFrame(count); }; count();
             const draw = mlorch.drawChart;
             mlorch.drawChart = (box, ...rest) => { drawn.push([box.dataset.chart, frame]); draw(box, ...rest); };
           }"""
    )
    tell(message(LATE, 2))
    until_drawn(page, 5)
    kinds, frames = zip(*page.evaluate("drawn"), strict=True)

    assert kinds[:3] == tuple(panel.kind for panel in PANELS)
    assert len(set(frames)) == len(frames)


def test_live__chart_out_of_view__is_told_at_once_and_drawn_when_it_is_seen(page: Page) -> None:
    tell = followed(page)
    until_drawn(page, 3)
    page.evaluate("document.querySelector('[data-chart=errors]').closest('section').style.marginTop = '3000px'")
    page.evaluate(IN_TWO_FRAMES)
    tell(message(LATE, 2))
    until_drawn(page, 5)
    errors = page.locator("[data-chart=errors]")
    before = errors.evaluate("box => box.data[0].x.length")
    errors.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('[data-chart=errors]').data[0].x.length > 2")

    assert before == 2


def test_live__one_cannot_be_drawn__the_others_are(page: Page) -> None:
    tell = followed(page)
    until_drawn(page, 3)
    page.evaluate(
        """() => {
             const draw = mlorch.drawChart;
             mlorch.drawChart = (box, ...rest) => { if (box.dataset.chart === "rate") throw new Error("meant"); draw(box, ...rest); };
             window.addEventListener("error", event => event.preventDefault());
           }"""
    )
    tell(message(LATE, 2))
    for kind in ("latency", "errors"):
        page.wait_for_function(
            "kind => document.querySelector(`[data-chart=${kind}]`).dataset.points === '5'", arg=kind
        )
