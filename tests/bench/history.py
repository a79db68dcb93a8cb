"""Server time of 90 days of 50 endpoints: the page of monitoring, its figures of the span before, the history of one
endpoint, and what is read for them.
"""

import math
import os
import random
import tempfile
import time
from datetime import timedelta
from itertools import islice
from typing import Any

from tests.bench.pages import visit
from tests.bench.report import Row, hand_over

ENDPOINTS, DAYS = 50, 180  # the span before is looked at too
RELEASES_EACH = 20
REQUESTS, LATENCY_MS, SIGMA = 2000, 12.0, 0.5  # of a histogram that is dealt out to windows
SHAPES = 40
BATCH = 2000
BUDGET_MS = 200
WIDTHS = (14_400, 86_400)  # what 90 days are read from


def histograms() -> list[dict[str, Any]]:
    """Histograms of latencies as real ones are: long to the right, some 150 buckets."""
    from dataplane.wire.histogram import Histogram

    draw, found = random.Random(7), []
    for _ in range(SHAPES):
        histogram = Histogram()
        for _ in range(REQUESTS):
            histogram.add(LATENCY_MS * math.exp(draw.gauss(0, SIGMA)))
        found.append(histogram.to_dict())
    return found


def fill() -> None:
    """Write the roll-ups of every endpoint for all days."""
    from django.db import transaction

    from deployments.models import Endpoint, Release
    from mlorch_site.accounts.actor import Actor
    from mlorch_site.lib import clock
    from monitoring.models import Window
    from registry.services import environment_create
    from tests.factories import make_people
    from tests.support import crowd

    people = make_people()
    environment = environment_create(actor=Actor.controller("bench"), name="production", position=0, gates=[])
    with transaction.atomic():
        crowd.add(people, environment, ENDPOINTS)
    Endpoint.objects.update(created_at=clock.now() - timedelta(days=DAYS))
    for endpoint in Endpoint.objects.select_related("stable_release__version"):
        for number in range(RELEASES_EACH):
            ended = clock.now() - timedelta(days=number * DAYS / RELEASES_EACH + 1)
            fields = {"started_at": ended - timedelta(hours=1), "ended_at": ended}
            status = "succeeded" if number % 4 else "rolled_back"
            crowd._release(people, endpoint, endpoint.stable_release.version, status, **fields)
    Release.objects.filter(status="rolled_back", started_at=None).update(started_at=clock.now())
    shapes, now = histograms(), int(clock.now().timestamp())
    windows = (
        Window(
            environment="production",
            endpoint=f"e-{number:03}",
            arm="stable",
            version=1,
            release="bench",
            seconds=width,
            start=clock.from_unix(start),
            requests=REQUESTS,
            ok=REQUESTS,
            latency=shapes[(number + start // width) % SHAPES],
        )
        for width in WIDTHS
        for number in range(1, ENDPOINTS + 1)
        for start in range((now - DAYS * 86_400) // width * width, now, width)
    )
    while batch := list(islice(windows, BATCH)):
        Window.objects.bulk_create(batch)


def read() -> float:
    """The shortest of some reads of all endpoints in ms, without a page around it."""
    from deployments.models import Endpoint
    from mlorch_site.lib import clock
    from monitoring.history import Life, span_traffic
    from monitoring.spans import read_span

    now, taken = clock.now(), []
    span = read_span({"range": "90d"}, zone=now.tzinfo, now=now)  # type: ignore[arg-type]
    lives = {("production", endpoint.name): Life(endpoint.created_at) for endpoint in Endpoint.objects.all()}
    for _ in range(10):
        began = time.perf_counter()
        found = span_traffic(lives, span, now)
        taken.append((time.perf_counter() - began) * 1000)
        assert len([one for one in found.places.values() if one.summary.requests]) == ENDPOINTS
    return min(taken)


def measure() -> list[Row]:
    from django.urls import reverse

    from mlorch_site.lib import collector
    from tests.support.live import signed_in

    fill()
    collector.settle()  # as the web process does; what filling left behind is not its own
    browser, history = signed_in("mona"), reverse("endpoint-history", args=["production", "e-001"])
    addresses = {
        "page of 50 endpoints, 90 days": f"{reverse('monitoring')}?range=90d",
        "the same, by latency": f"{reverse('monitoring')}?range=90d&order=p95",
        "figures of the 90 days before": f"{reverse('monitoring-before')}?range=90d",
        "history of one, 90 days": f"{history}?range=90d",
        "the same, by version": f"{history}?range=90d&by=version",
        "REST, 50 endpoints": f"{reverse('api-monitoring')}?range=90d",
    }
    rows = [Row("read of 50 endpoints, 90 days, least", read(), "ms", BUDGET_MS)]
    return rows + [Row(f"{name}, p95", visit(browser, address), "ms", BUDGET_MS) for name, address in addresses.items()]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="history-", dir="/tmp") as folder:
        os.environ |= {"MLORCH_DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "mlorch_site.settings"}
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        hand_over(measure())


if __name__ == "__main__":
    main()
