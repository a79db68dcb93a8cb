"""Events: written with their change, relayed to handlers until it worked, topics by policy."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
import time_machine
from channels.layers import InMemoryChannelLayer
from django.db import transaction

from mlorch_site.lib import clock
from mlorch_site.live import outbox, topics
from mlorch_site.live.models import Event
from mlorch_site.live.tasks import relay_events
from tests.support.live import publish

NOW = datetime(2030, 1, 1, tzinfo=UTC)  # later than any event of these tests


@pytest.fixture
def handlers(monkeypatch):
    registered: dict = {}
    monkeypatch.setattr(outbox, "_handlers", registered)
    return registered


def test_publish__outside_a_transaction__is_refused(monkeypatch):
    monkeypatch.setattr(transaction.get_connection(), "in_atomic_block", False)
    with pytest.raises(transaction.TransactionManagementError):
        outbox.publish("releases", "release.changed")


def test_publish__change_rolled_back__no_event_and_no_hole(db):
    first = publish("releases")
    with transaction.atomic():
        outbox.publish("releases", "release.changed")
        transaction.set_rollback(True)
    second = publish("releases")

    assert second.sequence == first.sequence + 1
    assert list(Event.objects.values_list("sequence", flat=True)) == [first.sequence, second.sequence]


def test_publish__channel_layer_away__the_change_stands(db, monkeypatch):
    def away(event):
        raise ConnectionError

    monkeypatch.setattr(outbox, "nudge", away)

    assert Event.objects.filter(pk=publish("releases").pk).exists()


def test_relay__handler_registered__told_once_in_order(db, handlers):
    told: list[int] = []
    outbox.on_event("release.changed", lambda event: told.append(event.sequence))
    with transaction.atomic():
        events = [outbox.publish("releases", "release.changed") for _ in range(2)]
    relay_events()
    relay_events()

    assert told == [event.sequence for event in events]
    assert not Event.objects.filter(relayed_at=None).exists()


def test_relay__handler_fails__event_stays_and_others_go_on(db, handlers):
    told: list[str] = []

    def picky(event):
        told.append(event.topic)
        if event.topic == "bad" and told.count("bad") == 1:
            raise ValueError

    outbox.on_event("release.changed", picky)
    with transaction.atomic():
        outbox.publish("bad", "release.changed")
        outbox.publish("good", "release.changed")

    with time_machine.travel(NOW, tick=False) as held:
        assert (outbox.relay(), outbox.relay()) == (1, 0)
        held.shift(timedelta(seconds=outbox.RETRY_FIRST_S))
        assert (outbox.relay(), outbox.relay()) == (1, 0)
    assert told == ["bad", "good", "bad"]


def test_relay__a_whole_batch_fails_for_ever__later_events_get_through(db, handlers, monkeypatch):
    monkeypatch.setattr(outbox, "RELAY_BATCH", 3)
    told: list[int] = []
    outbox.on_event("bad", lambda event: 1 / 0)
    outbox.on_event("good", lambda event: told.append(event.sequence))
    with transaction.atomic():
        for _ in range(3):
            outbox.publish("releases", "bad")
        last = outbox.publish("releases", "good")
    with time_machine.travel(NOW, tick=False):
        assert (outbox.relay(), outbox.relay()) == (0, 1)

    assert told == [last.sequence]


def test_relay__keeps_failing__is_tried_later_and_later_but_not_given_up(db, handlers):
    tried: list[float] = []

    def broken(event):
        tried.append(clock.now().timestamp())
        raise ValueError

    outbox.on_event("bad", broken)
    with transaction.atomic():
        event = outbox.publish("releases", "bad")
    with time_machine.travel(NOW, tick=False) as held:
        for _ in range(3000):
            outbox.relay()
            held.shift(timedelta(seconds=1))

    waits = [round(after - before) for before, after in pairwise(tried)]
    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == outbox.RETRY_LAST_S
    event.refresh_from_db()
    assert (event.attempts, event.relayed_at) == (len(tried), None)


@pytest.mark.parametrize("topic", ["endpoint.production.größe", "release." + "x" * 120, "a b/c"])
def test_group_of__any_topic__is_a_name_the_layer_takes(topic):
    assert InMemoryChannelLayer().valid_group_name(outbox.group_of(topic))


def test_may_join__prefix_nobody_registered__refused_even_for_an_administrator(people):
    assert not topics.may_join(people.ada.actor, "unheard-of")
    assert topics.may_join(people.ada.actor, "releases")


def test_may_join__registered_check__gets_the_rest(people, monkeypatch):
    monkeypatch.setitem(topics._checks, "thing", lambda actor, rest: rest == "a.b")

    assert topics.may_join(people.vik.actor, "thing.a.b")
    assert not topics.may_join(people.vik.actor, "thing.a")


def test_may_join__disabled_person__refused(people):
    people.vik.user.is_active = False

    assert not topics.may_join(people.vik.actor, "releases")
