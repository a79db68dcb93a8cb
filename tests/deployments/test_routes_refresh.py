"""Route tables follow what they are built from; between news nobody builds them."""

from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dataplane.wire.agent_sync import AgentReport
from deployments import limits, tasks
from deployments.models import Endpoint, ReplicaState
from deployments.processes.agents import agent_report
from deployments.routes.refresh import routes_are_due, routes_refresh
from deployments.services import gateway_key_create
from mlorch_site.accounts.actor import Actor
from mlorch_site.lib import clock
from tests.support.live import publish

IDLE_QUERIES_MAX = 5


@pytest.fixture
def now(world):
    """The moment at which everything has been followed."""
    world.serve(1)
    with world.at():
        now = clock.now()
    routes_refresh(now)
    return now


def later(now, seconds):
    return now + timedelta(seconds=seconds)


def test_due__nothing_happened__not_before_the_sweep(now):
    assert not routes_are_due(later(now, limits.ROUTES_SWEEP_S - 1))
    assert routes_are_due(later(now, limits.ROUTES_SWEEP_S))


def test_due__windows_were_stored__is_not(now):
    publish("endpoint.production.churn", "windows.stored")
    assert not routes_are_due(later(now, 1))


def test_due__agent_does_not_report_a_replica_any_more__is(now):
    agent = ReplicaState.objects.get().agent
    agent_report(agent=agent, report=AgentReport([]), now=later(now, 1))
    assert routes_are_due(later(now, 1))


def test_due__key_ends__its_table_is_published_then(now):
    ends = later(now, 30)
    with time_machine.travel(now, tick=False):
        gateway_key_create(
            actor=Actor.controller("test"), name="k", environments=["production"], endpoints=["*"], expires_at=ends
        )
    routes_refresh(later(now, 1))

    assert not routes_are_due(later(now, 29))
    assert routes_are_due(ends)
    (table,) = routes_refresh(ends)
    assert table.document["keys"] == []


def test_follow__fails__is_due_still(now, monkeypatch):
    publish("endpoint.production.churn", "endpoint.changed")
    monkeypatch.setattr("deployments.routes.refresh.publish_changed", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        routes_refresh(later(now, 1))

    assert routes_are_due(later(now, 1))


def test_tick__nothing_to_do__is_known_by_a_few_queries_however_many_endpoints(now, world, monkeypatch):
    monkeypatch.setattr(tasks.clock, "now", lambda: later(now, 1))
    first = Endpoint.objects.get()
    Endpoint.objects.bulk_create(
        Endpoint(environment=first.environment, name=f"e-{number}", model=first.model, created_at=now)
        for number in range(20)
    )
    with CaptureQueriesContext(connection) as queries:
        assert not tasks.tick_is_due()

    assert len(queries) <= IDLE_QUERIES_MAX


def test_tick__something_to_do__is_due(now, world, monkeypatch):
    monkeypatch.setattr(tasks.clock, "now", lambda: later(now, 1))
    world.request(2, strategy={"kind": "immediate"})
    assert tasks.tick_is_due()
