"""Six live charts of ten minutes at two updates a second, in Chromium on one core: tasks above 50 ms and late frames.

`python -m tests.bench.charts`. The page is served from the templates and its socket is played, so that only drawing is
measured. What a task takes is read from the browser's trace as processor time, which others on the machine do not
lengthen; the frames are as a person sees them, and they do.
"""

import json
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Browser, Page, Route, WebSocketRoute, sync_playwright

from tests.bench.report import Row, hand_over

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")
SITE = "http://charts.test"
HISTORY_S, UPDATES, EVERY_MS = 600, 40, 500
FRAME_MS = 1000 / 60
LONG_MS = 50.0  # what browsers call a long task
TRACE = {"includedCategories": ["toplevel"]}
TASK, THREAD = "ThreadControllerImpl::RunTask", "CrRendererMain"
HTML = """{% load static %}<!DOCTYPE html><html lang="en" data-bs-theme="light" data-time-zone="UTC"><head>
<title>Charts</title><link rel="stylesheet" href="{% static 'tabler/css/tabler.min.css' %}">
<link rel="stylesheet" href="{% static 'css/mlorch.css' %}">
</head><body>{% include "components/chart_marks.html" %}{% include "components/charts.html" %}
<script src="{% static 'js/socket.js' %}" defer></script>{% include "components/chart_scripts.html" %}</body></html>"""
WATCH = """() => {
  window.frames_ms = [];
  let before = performance.now();
  const frame = now => { frames_ms.push(now - before); before = now; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
}"""


def _message(second: int, began: datetime, seconds: range) -> str:
    """The points of both arms of these seconds, as the site tells them."""
    from monitoring.charts import finished
    from monitoring.points import Point

    points = [
        Point(
            began + timedelta(seconds=at),
            1,
            arm,
            version,
            requests=30 + at % 7,
            errors=at % 3,
            client_errors=0,
            p50=4.0 + at % 5,
            p95=9.0 + at % 11,
            p99=20.0 + at % 13,
        )
        for at in seconds
        for arm, version in (("stable", 1), ("candidate", 2))
    ]
    return json.dumps({"sequence": second + 1, **finished(points, began + timedelta(seconds=max(0, second)))})


def _html(began: datetime) -> str:
    from django.template import engines

    from monitoring.charts import PANELS, Band, Marker, Marks

    markers = [Marker(began.timestamp() + at, f"{at // 6} %") for at in range(60, HISTORY_S, 60)]
    marks = Marks(markers, {"errors": 12.0}, {"errors": Band(4.0, 12.0)}, {"errors": Band(2.0, 9.0)}, began.timestamp())
    known: dict[str, Any] = {"charts": PANELS * 2, "marks": marks, "environment": "production", "endpoint": "cancer"}
    return str(engines["django"].from_string(HTML).render(known))


def _serve(route: Route) -> None:
    from django.contrib.staticfiles import finders

    route.fulfill(path=str(finders.find(route.request.url.removeprefix(f"{SITE}/static/"))))


def open_page(page: Page, began: datetime) -> WebSocketRoute:
    """Open the page and show it ten minutes; its played socket."""
    sockets: list[WebSocketRoute] = []
    page.route(f"{SITE}/static/**", _serve)
    page.route(f"{SITE}/", lambda route: route.fulfill(body=_html(began), content_type="text/html; charset=utf-8"))
    place = "ws://charts.test/ws/charts/production/cancer/?since=0"
    page.route_web_socket(place, lambda socket: sockets.append(socket))
    page.goto(f"{SITE}/")
    page.wait_for_timeout(EVERY_MS)
    sockets[-1].send(_message(0, began, range(HISTORY_S)))
    page.wait_for_function("document.querySelectorAll('[data-chart] .main-svg').length >= 6")
    page.wait_for_timeout(4 * EVERY_MS)
    return sockets[-1]


def measured(browser: Browser, page: Page, began: datetime) -> tuple[list[float], list[float], float]:
    """The processor times of the tasks and the frames' lengths, in ms, of a page that is being followed, and over how
    many seconds.
    """
    socket = open_page(page, began)
    heard: list[dict[str, Any]] = []
    ended: list[dict[str, Any]] = []
    trace = browser.new_browser_cdp_session()
    trace.on("Tracing.dataCollected", lambda said: heard.extend(said["value"]))
    trace.on("Tracing.tracingComplete", lambda said: ended.append(said))
    trace.send("Tracing.start", {"transferMode": "ReportEvents", "traceConfig": TRACE})
    page.evaluate(WATCH)
    start = time.monotonic()
    for update in range(UPDATES):
        socket.send(_message(1 + update, began, range(HISTORY_S + update, HISTORY_S + update + 1)))
        page.wait_for_timeout(EVERY_MS)
    seconds = time.monotonic() - start
    frames = page.evaluate("frames_ms")
    trace.send("Tracing.end")
    while not ended:
        page.wait_for_timeout(EVERY_MS)
    return tasks_of(heard), frames[1:], seconds


def tasks_of(trace: list[dict[str, Any]]) -> list[float]:
    """The processor time in ms of each task of the pages' main threads."""
    named = [said for said in trace if said["name"] == "thread_name" and said["args"]["name"] == THREAD]
    threads = {(said["pid"], said["tid"]) for said in named}
    tasks = (said for said in trace if said["name"] == TASK and (said["pid"], said["tid"]) in threads)
    return [said["tdur"] / 1000 for said in tasks if "tdur" in said]


def rows_of(tasks: list[float], frames: list[float], seconds: float) -> list[Row]:
    """The rows of `scripts/bench`."""
    lost = sum(max(0, round(frame / FRAME_MS) - 1) for frame in frames)
    return [
        Row("updates sent", float(UPDATES), ""),
        Row("tasks above 50 ms, per update", sum(task > LONG_MS for task in tasks) / UPDATES, "", 0.0),
        Row("the longest task, processor time", max(tasks), "ms", LONG_MS),
        Row("all tasks of an update, processor time", sum(tasks) / UPDATES, "ms"),
        Row("frames lost", 100 * lost / (seconds * 1000 / FRAME_MS), "%"),
        Row("a frame, median", median(frames), "ms"),
    ]


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlorch_site.settings")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLORCH_DATA_DIR"] = str(Path(folder))
        import django

        django.setup()
        began = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=HISTORY_S)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
            os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # the templates read no row
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            found = rows_of(*measured(browser, page, began))
            browser.close()
    hand_over(found)


if __name__ == "__main__":
    main()
