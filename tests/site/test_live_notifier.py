"""Whoever waits in the web process is woken by news: at once by the nudge, a look later without it; many who wait ask
no more than one.
"""

import asyncio

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext

from mlorch_site.live import notifier as bell_module
from mlorch_site.live import outbox
from mlorch_site.live.notifier import notifier
from mlorch_site.live.selectors import topics_after
from tests.support.live import async_publish, publish, run

SOON_S = 5.0
NEVER_S = 3600.0


@pytest.fixture
def no_nudge(monkeypatch):
    monkeypatch.setattr(outbox, "nudge", lambda event: None)
    monkeypatch.setattr(bell_module, "LOOK_S", 0.05)


@pytest.fixture
def no_look(monkeypatch):
    monkeypatch.setattr(bell_module, "LOOK_S", NEVER_S)


async def settled(news):
    """Take the first look's ring, and give the ears the time to listen."""
    assert await news.wait(SOON_S)
    await asyncio.sleep(0.05)


def heard_after(topic):
    async def scenario():
        with notifier().listening("gateways") as news:
            await settled(news)
            await async_publish(topic)
            return await news.wait(0.5)

    return run(scenario)


def test_bell__event_on_its_topic__rings_at_once(db, no_look):
    assert heard_after("gateways")


def test_bell__nudge_lost__rings_by_the_look(db, no_nudge):
    assert heard_after("gateways")


@pytest.mark.parametrize("silent", ["no_look", "no_nudge"])
def test_bell__event_on_another_topic__is_silent(db, silent, request):
    request.getfixturevalue(silent)
    assert not heard_after("releases")


def test_bell__broker_away__rings_by_the_look(db, no_nudge, monkeypatch):
    def away():
        raise ConnectionError

    monkeypatch.setattr(bell_module, "get_channel_layer", away)
    assert heard_after("gateways")


def test_bell__database_away_for_a_look__rings_once_it_is_back(db, no_nudge, monkeypatch):
    answers = iter([topics_after, lambda *asked: (_ for _ in ()).throw(DatabaseError("away"))])
    monkeypatch.setattr(bell_module, "topics_after", lambda *asked: next(answers, topics_after)(*asked))
    assert heard_after("gateways")


def test_bell__event_before_the_first_wait__is_not_missed(db, no_nudge):
    async def scenario():
        with notifier().listening("gateways") as first:
            await settled(first)
        with notifier().listening("gateways") as news:
            await async_publish("gateways")
            return await news.wait(SOON_S)

    assert run(scenario)


def test_bell__fifty_wait__no_more_queries_than_one(db, no_nudge):
    async def scenario(count):
        with notifier().listening("gateways") as first:
            await settled(first)
            async with asyncio.TaskGroup() as group:
                for _ in range(count):
                    group.create_task(listen())

    async def listen():
        with notifier().listening("gateways") as news:
            assert not await news.wait(0.5)

    counts = []
    for count in (1, 50):
        with CaptureQueriesContext(connection) as queries:
            run(lambda count=count: scenario(count))
        counts.append(len(queries))
    assert max(counts) <= 14  # a look each 0.05 s, and what the first one reads
    assert abs(counts[0] - counts[1]) <= 4


def test_topics_after__says_which_have_events_since(db):
    first = publish("gateways").sequence
    publish("releases")
    newest = publish("agents").sequence

    assert topics_after(first, ["agents", "gateways"]) == (newest, {"agents"})
    assert topics_after(newest, ["agents", "gateways"]) == (newest, set())
    assert topics_after(None, ["agents"]) == (newest, {"agents"})
    assert topics_after(newest + 9, ["agents"]) == (newest, {"agents"})
