"""Gateways and agents that wait at the site: answered as soon as there is something for them, and cheap until then."""

import asyncio
import json
import time

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.test import AsyncRequestFactory, TestCase
from django.test.utils import CaptureQueriesContext

from deployments import limits
from deployments.models import GatewayState, Replica
from deployments.processes import long_polls
from deployments.services import gateway_key_create
from deployments.tasks import tick
from mlorch_site.accounts.actor import Actor
from mlorch_site.lib import clock
from mlorch_site.live import notifier as bell_module
from mlorch_site.live import outbox
from registry.services.defaults import defaults_create
from tests.support.live import run

TEST = Actor.controller("test")
SETTLE_S = 0.5
SOON_S = 5.0  # of the 20 s for which they would wait
BRIEF_S = 4.0


@pytest.fixture(autouse=True)
def _token(settings):
    settings.CONTROL_TOKEN = "control-token"


@pytest.fixture(params=["nudge", "look"])
def _heard_by(request, monkeypatch):
    """News come by the nudge alone, or by the look alone."""
    monkeypatch.setattr(bell_module, "LOOK_S", 3600.0 if request.param == "nudge" else 0.05)
    if request.param == "look":
        monkeypatch.setattr(outbox, "nudge", lambda event: None)


async def ask(view, who, body):
    """The answer of a long poll, and how many seconds it took."""
    headers = {"Authorization": "Bearer control-token"}
    request = AsyncRequestFactory().post("/", body, content_type="application/json", headers=headers)
    began = time.monotonic()
    answer = await view(request, who)
    assert answer.status_code == 200, answer.content
    return json.loads(answer.content), time.monotonic() - began


def gateway(name="g1", wait_s=20.0):
    return ask(long_polls.gateway_poll, name, {"boot": "b1", "have": {}, "wait_s": wait_s})


def agent(goal, wait_s=20.0, name="a1"):
    return ask(long_polls.agent_sync, name, {"host": "h", "replicas": [], "goal": goal, "wait_s": wait_s})


@sync_to_async
def commit(change):
    """Make a change and let what follows its commit happen."""
    with TestCase.captureOnCommitCallbacks(execute=True):
        change()


@sync_to_async
def queries_so_far():
    return len(connection.queries_log)


async def during(poll, change):
    """What a poll is answered that waits while a change is committed, and how many seconds after that."""
    waiting = asyncio.create_task(poll)
    await asyncio.sleep(SETTLE_S)
    assert not waiting.done()
    began = time.monotonic()
    await commit(change)
    answer, _ = await waiting
    return answer, time.monotonic() - began


def make_key():
    gateway_key_create(actor=TEST, name="k", environments=["production"], endpoints=["*"], expires_at=None)


@pytest.mark.usefixtures("_heard_by")
def test_gateway__waits__is_answered_at_once_when_a_table_is_published(db):
    defaults_create(actor=TEST)
    answer, took_s = run(lambda: during(gateway(), make_key))

    assert [(table["environment"], table["revision"]) for table in answer["tables"]] == [("production", 1)]
    assert answer["environments"] == ["development", "staging", "production"]
    assert took_s < SOON_S
    assert GatewayState.objects.get(gateway="g1").boot == "b1"


@pytest.fixture
def wanted(world):
    """A release that is about to want a replica with the next tick."""
    world.now = clock.now()  # agents may take over what others did not run for long
    world.request(1, strategy={"kind": "immediate"})
    return world


def tick_in(world):
    with world.at():
        tick()


@pytest.mark.usefixtures("_heard_by")
def test_agent__waits__is_answered_at_once_when_a_replica_is_wanted(wanted):
    async def scenario():
        nothing, _ = await agent("")
        return await during(agent(nothing["goal"]), lambda: tick_in(wanted))

    answer, took_s = run(scenario)
    assert [row["id"] for row in answer["replicas"]] == [Replica.objects.get().pk]
    assert took_s < SOON_S


@pytest.mark.usefixtures("_heard_by")
def test_agents__two_wait__one_gets_the_replica_and_the_other_waits_on(wanted):
    async def scenario():
        nothing, _ = await agent("")
        others = [asyncio.create_task(agent(nothing["goal"], wait_s=BRIEF_S, name=f"a{number}")) for number in (1, 2)]
        await asyncio.sleep(SETTLE_S)
        await commit(lambda: tick_in(wanted))
        return await asyncio.gather(*others)

    answers = sorted((len(answer["replicas"]), took_s) for answer, took_s in run(scenario))
    assert [count for count, _ in answers] == [0, 1]
    assert answers[1][1] < BRIEF_S <= answers[0][1]


def test_agent__goal_it_does_not_know__is_answered_without_waiting(db):
    _, took_s = run(lambda: agent("another"))
    assert took_s < SOON_S


def test_agent__nothing_happens__is_answered_when_its_time_is_over(db):
    async def scenario():
        nothing, _ = await agent("")
        return nothing, await agent(nothing["goal"], wait_s=0.4)

    before, (answer, took_s) = run(scenario)
    assert answer == before
    assert 0.4 <= took_s < 0.4 + SOON_S


def test_waiting__forty_polls_for_a_second__few_queries(db, monkeypatch):
    monkeypatch.setattr(limits, "GATEWAY_TOUCH_S", 3600)

    async def in_a_second():
        before = await queries_so_far()
        await asyncio.sleep(1.0)
        return await queries_so_far() - before

    async def scenario():
        nothing, _ = await agent("")
        polls = [gateway(f"g{number}") for number in range(20)]
        polls += [agent(nothing["goal"], name=f"a{number}") for number in range(20)]
        waiting = [asyncio.create_task(poll) for poll in polls]
        counts = [await in_a_second() for _ in range(8)]
        still = sum(not poll.done() for poll in waiting)
        for poll in waiting:
            poll.cancel()
        return still, min(counts)

    with CaptureQueriesContext(connection):
        still, fewest = run(scenario)
    assert still == 40
    assert fewest <= 3
