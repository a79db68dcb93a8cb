"""Metrics that Prometheus is asked for: who sets them, hostile and silent servers, the real one, and verdicts."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from deployments.services.measured import metrics_are_due, metrics_read
from deployments.services.watching import watched_in_use
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Forbidden, Invalid
from mlorch_site.lib.outgoing import get
from monitoring.models import MetricReading, PrometheusServer
from monitoring.services import (
    MetricQueryWish,
    metric_query_define,
    metric_query_end,
    metric_read,
    prometheus_server_set,
)
from monitoring.services.measured import query_problems
from tests.conftest import missing
from tests.support.live import signed_in
from tests.support.ports import free_ports
from tests.support.waiting import until

QUERY = 'queue_depth{version="{{version}}",arm="{{ arm }}"}'
CANARY = {"kind": "canary", "steps": [{"weight": 50, "bake_s": 10}]}
NAMED = {"endpoint": "clinic", "environment": "production", "arm": "candidate", "version": "2", "release": "r2"}


@pytest.fixture
def server(settings) -> Iterator[Any]:
    """A server that answers `answer(query)`: a value, or (status, body) as it is; `asked` has queries and tokens."""
    settings.OUTGOING_PRIVATE_NETWORKS = ["127.0.0.0/8"]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                said: Any = (200, b'queue_depth{version="2",arm="candidate"} 7\n')
            else:
                query = parse_qs(urlsplit(self.path).query)["query"][0]
                httpd.asked.append((query, self.headers["Authorization"]))
                said = httpd.answer(query)
            if not isinstance(said, tuple):
                rows = [{"metric": {}, "value": [clock.now().timestamp(), str(said)]}]
                said = (
                    200,
                    json.dumps({"status": "success", "data": {"resultType": "vector", "result": rows}}).encode(),
                )
            self.send_response(said[0])
            self.send_header("Location", "http://169.254.169.254/")
            self.end_headers()
            self.wfile.write(said[1])

        def log_message(self, *arguments: Any) -> None:
            pass

    httpd: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.asked, httpd.answer, httpd.url = [], lambda query: 1.0, f"http://127.0.0.1:{httpd.server_port}"
    thread = Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield httpd
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def asking(world, server):
    """Version 1 serves, and the queue of each arm may be asked for."""
    world.serve(1)
    with world.at():
        actor = world.people.ada.actor
        prometheus_server_set(actor=actor, environment=world.environment, url=f"{server.url}/", token="s3cret-token")
        place = watched_in_use(world.endpoint)
        world.query = metric_query_define(actor=actor, place=place, wish=MetricQueryWish("queue", QUERY))
    return world


def seconds(world, count):
    """Let so many seconds go by; what is due is read in each."""
    for _ in range(count):
        world.tick()
        with world.at():
            metrics_read(now=world.now)


def verdict(release):
    release.refresh_from_db()
    release.rollout.refresh_from_db()
    return release.rollout.assessment["guardrails"][0]


def test_release__value_above_its_bound_three_times__is_rolled_back(asking, server):
    server.answer = lambda query: 9.0 if "candidate" in query else 1.0
    assert not metrics_are_due()
    release = asking.request(2, strategy=CANARY, guardrails=[{"metric": "prometheus:queue", "max": 5}])
    seconds(asking, 12)

    assert (release.__class__.objects.get(pk=release.pk).status, verdict(release)["verdict"]) == (
        "rolled_back",
        "harmful",
    )
    assert ('queue_depth{version="2",arm="candidate"}', "Bearer s3cret-token") in server.asked
    assert ('queue_depth{version="1",arm="stable"}', "Bearer s3cret-token") in server.asked


def test_release__difference_within_the_margin__is_promoted_and_without_values_not(asking, server):
    server.answer = lambda query: 3.0 if "candidate" in query else 2.0
    release = asking.request(2, strategy=CANARY, guardrails=[{"metric": "prometheus:queue", "margin": 2}])
    seconds(asking, 6)
    server.answer = lambda query: "NaN" if "candidate" in query else 2.0
    seconds(asking, 12)
    assert (verdict(release)["verdict"], release.status) == ("no_data", "rolling_out")
    assert "not a number" in verdict(release)["sentence"]
    server.answer = lambda query: 3.0
    seconds(asking, 8)
    release.refresh_from_db()
    assert release.status == "succeeded", release.rollout.waiting_for


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((302, b""), "answered 302"),
        ((200, b"x" * 200_000), "more than 64 KiB"),
        ((200, b'{"status": "success"}'), "instant query"),
        ((401, b"secret page"), "answered 401."),
    ],
)
def test_read__hostile_answer__is_no_data_with_the_reason(asking, server, answer, reason):
    server.answer = lambda query: answer
    found = metric_read(query=asking.query, judged="r2", named=NAMED, now=asking.now)
    assert (found.value, reason in found.reason) == (None, True)


def test_read__no_server_and_nobody_there_and_a_name_that_would_end_a_text__is_no_data(asking):
    quoted = NAMED | {"release": 'r"} or vector(1)#'}
    assert "characters" in metric_read(query=asking.query, judged="r2", named=quoted, now=asking.now).reason
    PrometheusServer.objects.update(url=f"http://127.0.0.1:{free_ports(1)[0]}")
    assert "does not answer" in metric_read(query=asking.query, judged="r2", named=NAMED, now=asking.now).reason
    PrometheusServer.objects.update(ended_at=asking.now)
    assert "No Prometheus server" in metric_read(query=asking.query, judged="r2", named=NAMED, now=asking.now).reason
    assert MetricReading.objects.filter(value=None).count() == 3


def test_server__private_address_or_wrong_role__is_refused_and_the_token_is_in_no_record(asking, settings, server):
    assert "s3cret" not in str(list(AuditRecord.objects.values())) + str(list(PrometheusServer.objects.values()))
    settings.OUTGOING_PRIVATE_NETWORKS = []
    with pytest.raises(Invalid, match="not public"):
        prometheus_server_set(actor=asking.people.ada.actor, environment=asking.environment, url=server.url)
    with pytest.raises(Forbidden):
        prometheus_server_set(actor=asking.people.emma.actor, environment=asking.environment, url=server.url)


def test_rest__server_and_query__are_set_shown_and_ended(asking, server):
    where = "/api/v1/environments/production/prometheus"
    assert signed_in("emma").get(where).status_code == 403
    made = signed_in("ada").post(where, {"url": server.url}, content_type="application/json")
    assert (made.status_code, made.json()["has_token"]) == (201, False)
    assert len(signed_in("ada").get(where).json()) == 1
    place = "/api/v1/endpoints/production/clinic/metric-queries"
    [query] = signed_in("vik").get(place).json()
    ended = signed_in("emma").post(f"{place}/{query['id']}/end", {}, content_type="application/json")
    assert (ended.status_code, signed_in("vik").get(place).json()) == (200, [])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"query": "up"}, "query"),
        ({"query": "up{a='{{arm}}',b='{{user}}'}"}, "query"),
        ({"query": "up{a='{{arm}}'}}}"}, "query"),
        ({"query": "up{a='{{arm}}'}\n"}, "query"),
        ({"stale_after_s": 1}, "stale_after_s"),
        ({"name": "No"}, "name"),
    ],
)
def test_query__that_cannot_be_asked__is_refused_by_field(changes, field):
    wish = MetricQueryWish(**{"name": "queue", "query": QUERY} | changes)
    assert [*query_problems(wish)] == [field]


@pytest.mark.slow
def test_read__the_real_prometheus__has_the_value_and_without_samples_none(asking, server, tmp_path):
    if shutil.which("prometheus") is None:
        missing("prometheus")
    port = free_ports(1)[0]
    (tmp_path / "p.yml").write_text(
        "scrape_configs: [{job_name: j, scrape_interval: 1s, scrape_timeout: 1s, "
        f"static_configs: [{{targets: ['127.0.0.1:{server.server_port}']}}]}}]"
    )
    command = ["prometheus", f"--config.file={tmp_path}/p.yml", f"--storage.tsdb.path={tmp_path}/data"]
    command.append(f"--web.listen-address=127.0.0.1:{port}")
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            PrometheusServer.objects.update(url=f"http://127.0.0.1:{port}", sealed_token="")

            def read(**changes: str) -> MetricReading:
                return metric_read(query=asking.query, judged="r2", named=NAMED | changes, now=clock.now())

            until(lambda: read().value == 7.0, "a scraped value", seen=lambda: (tmp_path / "log").read_text()[-500:])
            assert read(version="3").reason == "No series answers."
            asking.query.query = 'queue_depth{version="{{version}}"'
            assert "answered 400" in read().reason
            status, _ = get(f"http://127.0.0.1:{port}/api/v1/query?query=queue_depth&lookback_delta=1ms")
            assert status == 200
        finally:
            process.terminate()


def test_release__query_ended_and_named_anew_after_the_request__is_asked_no_more_and_does_not_pass(asking, server):
    release = asking.request(2, strategy=CANARY, guardrails=[{"metric": "prometheus:queue", "max": 5}])
    seconds(asking, 6)
    with asking.at():
        actor, place = asking.people.ada.actor, watched_in_use(asking.endpoint)
        metric_query_end(actor=actor, query=asking.query)
        metric_query_define(actor=actor, place=place, wish=MetricQueryWish("queue", 'nothing{arm="{{arm}}"} * 0'))
    seconds(asking, 12)
    release.refresh_from_db()

    assert {query for query, _ in server.asked if "nothing" in query} == set()
    assert (release.status, verdict(release)["verdict"]) == ("rolling_out", "no_data")
    assert "ended while the release waited for it" in verdict(release)["sentence"]
    assert "queue_depth" in release.plan["measures"]["prometheus:queue"]["sentence"]
