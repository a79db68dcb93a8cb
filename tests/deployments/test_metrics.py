"""The site's own numbers for Prometheus."""

import shutil
import subprocess
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families

from deployments.models import Release, Replica
from mlorch_site.live.outbox import relay
from monitoring.services import windows_roll_up
from tests.conftest import missing
from tests.deployments.world import World
from tests.monitoring.windows import at, row, store

URL = "/internal/v1/metrics"


@pytest.fixture(autouse=True)
def _tokens(settings):
    settings.CONTROL_TOKEN, settings.METRICS_TOKEN = "control-token", "metrics-token"


def exposition() -> str:
    return Client(headers={"Authorization": "Bearer metrics-token"}).get(URL).content.decode()


def samples() -> dict[tuple[str, ...], float]:
    """(name, the labels' values in the order of their names) → value."""
    families = text_string_to_metric_families(exposition())
    return {
        (one.name, *(value for _, value in sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
    }


def scrape() -> dict[str, float]:
    with at(10):
        return {name: value for (name, *_), value in samples().items()}


@pytest.mark.parametrize("token", ["", "Bearer ", "Bearer wrong", "Basic metrics-token"])
def test_metrics__without_the_token__401(db, token):
    assert Client(headers={"Authorization": token} if token else {}).get(URL).status_code == 401


def test_metrics__no_token_configured__nobody_reads_them(db, settings):
    settings.CONTROL_TOKEN = settings.METRICS_TOKEN = ""
    assert Client(headers={"Authorization": "Bearer "}).get(URL).status_code == 401


def test_metrics_token__at_what_gateways_ask__opens_nothing(db):
    client = Client(headers={"Authorization": "Bearer metrics-token"})

    assert client.post("/internal/v1/gateways/g/windows").status_code == 401
    assert client.post("/internal/v1/agents/a/sync").status_code == 401


def test_metrics__control_token__reads_them_too(db):
    assert Client(headers={"Authorization": "Bearer control-token"}).get(URL).status_code == 200


def test_metrics__a_version_taken_back__says_what_serves_what_ended_and_which_replicas_are_ready(world: World) -> None:
    world.serve()
    world.errors["2"] = 1.0
    world.until(world.request(2), "rolled_back")
    with world.at():
        told = samples()

    stable = str(world.endpoint.stable_release_id)
    place = ("mlorch_endpoint_weight_ratio", "stable", "clinic", "production", "tumours", stable, "1")
    assert told[place] == 1
    assert told[("mlorch_releases_ended_total", "production", "release", "succeeded")] == 1
    assert told[("mlorch_releases_ended_total", "production", "release", "rolled_back")] == 1
    ready = {labels: value for labels, value in told.items() if labels[0] == "mlorch_replica_ready"}
    assert (1.0, "1") in {(value, labels[-1]) for labels, value in ready.items()}
    assert told[("mlorch_route_table_revision", "production")] >= 3
    assert told[("mlorch_gateway_report_age_seconds", "fake-gateway")] <= 1
    assert told[("mlorch_release_due_lag_seconds",)] == 0


def test_metrics__nobody_looks_at_a_release_that_is_due__says_how_late_it_is(world: World) -> None:
    world.serve()
    release = world.request(2)
    Release.objects.filter(pk=release.pk).update(due_at=world.now - timedelta(seconds=90))
    with world.at():
        told = samples()

    assert told[("mlorch_release_due_lag_seconds",)] == 90
    assert sum(value for labels, value in told.items() if labels[0] == "mlorch_releases_open") == 1


def test_metrics__more_rows__no_more_queries(world: World, django_assert_max_num_queries) -> None:
    world.serve()
    with CaptureQueriesContext(connection) as few:
        exposition()
    world.request(2)
    Replica.objects.bulk_create(
        Replica(
            id=f"r-{number}",
            endpoint=world.endpoint,
            version=world.endpoint.stable_release.version,
            digest="sha256:0",
            serving_config=world.endpoint.stable_release.serving_config,
            created_at=world.now,
        )
        for number in range(50)
    )
    with django_assert_max_num_queries(len(few)):
        exposition()


def test_metrics__windows_stored__say_how_far_things_are_behind(db):
    with at():
        store(1, row(-2), row(-1), dropped_windows=7)
    found = scrape()

    assert found["mlorch_live_event_sequence"] >= 1
    assert (found["mlorch_live_events_unrelayed"], found["mlorch_live_relay_lag_seconds"]) == (1, 10)
    assert (found["mlorch_monitoring_window_age_seconds"], found["mlorch_monitoring_windows_unrolled"]) == (11, 2)
    assert found["mlorch_monitoring_windows_dropped_total"] == 7


def test_metrics__caught_up__nothing_is_behind(db):
    store(1, row())
    relay()
    windows_roll_up()
    found = scrape()

    assert (found["mlorch_live_events_unrelayed"], found["mlorch_live_relay_lag_seconds"]) == (0, 0)
    assert found["mlorch_monitoring_windows_unrolled"] == 0


def test_metrics__nothing_ever_stored__still_answers(db):
    assert scrape()["mlorch_monitoring_window_age_seconds"] == -1


@pytest.mark.slow
def test_metrics__promtool__finds_nothing(db):
    if shutil.which("promtool") is None:
        missing("promtool")
    with at():
        store(1, row(-2), row(-1), dropped_windows=7)
    text = exposition()
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
