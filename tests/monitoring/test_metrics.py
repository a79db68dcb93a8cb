"""The site's own numbers for Prometheus."""

import shutil
import subprocess

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from mlorch_site.live.outbox import relay
from monitoring.services import windows_roll_up
from tests.conftest import missing
from tests.monitoring.windows import at, row, store

URL = "/internal/v1/metrics"


@pytest.fixture(autouse=True)
def _token(settings):
    settings.CONTROL_TOKEN = "control-token"


def scrape() -> dict[str, float]:
    with at(10):
        answer = Client(headers={"Authorization": "Bearer control-token"}).get(URL)
    families = text_string_to_metric_families(answer.content.decode())
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_metrics__without_the_token__401(db):
    assert Client().get(URL).status_code == 401


def test_metrics__windows_stored__say_how_far_things_are_behind(db):
    with at():
        store(1, row(-2), row(-1), dropped_windows=7)
    found = scrape()

    assert found["mlorch_live_event_sequence"] >= 1
    assert (found["mlorch_live_events_unrelayed"], found["mlorch_live_relay_lag_seconds"]) == (1, 10)
    assert (found["mlorch_monitoring_window_age_seconds"], found["mlorch_monitoring_windows_unrolled"]) == (11, 2)
    assert found["mlorch_gateway_windows_dropped"] == 7


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
    text = Client(headers={"Authorization": "Bearer control-token"}).get(URL).content.decode()
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
