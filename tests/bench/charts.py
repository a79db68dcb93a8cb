"""Six live charts of ten minutes at two updates a second, in Chromium on one core: tasks above 50 ms and late frames.

`python -m tests.bench.charts`. The page is served from the templates and its socket is played, so that only drawing is
measured.
"""

import json
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from playwright.sync_api import Page, Route, WebSocketRoute, sync_playwright

from tests.bench.report import Row, hand_over

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")
SITE = "http://charts.test"
HISTORY_S, UPDATES, EVERY_MS = 600, 40, 500
FRAME_MS = 1000 / 60
LONG_MS = 50.0  # what browsers call a long task
HTML = """{% load static %}<!DOCTYPE html><html lang="en" data-bs-theme="light" data-time-zone="UTC"><head>
<title>Charts</title><link rel="stylesheet" href="{% static 'tabler/css/tabler.min.css' %}">
<link rel="stylesheet" href="{% static 'css/mlorch.css' %}">
</head><body>{% include "components/chart_marks.html" %}{% include "components/charts.html" %}
<script src="{% static 'js/socket.js' %}" defer></script>{% include "components/chart_scripts.html" %}</body></html>"""
WATCH = """() => {
  window.measured = { tasks: [], frames: [] };
  const heard = list => list.getEntries().forEach(one => measured.tasks.push(one.duration));
  new PerformanceObserver(heard).observe({ type: "longtask" });
  let before = performance.now();
  const frame = now => { measured.frames.push(now - before); before = now; requestAnimationFrame(frame); };
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


def measured(page: Page, began: datetime) -> tuple[list[float], list[float], float]:
    """The long tasks and the frames' lengths in ms, and over how many seconds, of a page that is being followed."""
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
    page.evaluate(WATCH)
    start = time.monotonic()
    for update in range(UPDATES):
        sockets[-1].send(_message(1 + update, began, range(HISTORY_S + update, HISTORY_S + update + 1)))
        page.wait_for_timeout(EVERY_MS)
    found = page.evaluate("measured")
    return found["tasks"], found["frames"][1:], time.monotonic() - start


def rows_of(tasks: list[float], frames: list[float], seconds: float) -> list[Row]:
    """The rows of `scripts/bench`."""
    lost = sum(max(0, round(frame / FRAME_MS) - 1) for frame in frames)
    spread = quantiles(tasks, n=10) if len(tasks) > 1 else [0.0] * 9
    return [
        Row("updates sent", float(UPDATES), ""),
        Row("tasks above 50 ms, per update", len(tasks) / UPDATES, "", 0.0),
        Row("a long task, median", median(tasks) if tasks else 0.0, "ms", LONG_MS),
        Row("a long task, 90 %", spread[-1], "ms"),
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
            tasks, frames, seconds = measured(browser.new_page(viewport={"width": 1440, "height": 900}), began)
            browser.close()
    hand_over(rows_of(tasks, frames, seconds))


if __name__ == "__main__":
    main()
