"""The polling twin says the same as the websocket."""

import pytest
from django.test import Client

from mlorch_site.live import selectors
from mlorch_site.live.models import Event
from tests.support.live import publish, signed_in

URL = "/live/events.json"


@pytest.fixture
def vik(people):
    return signed_in("vik")


def news(client, since=0):
    return client.get(URL, {"topics": "releases", "since": since}).json()["messages"]


def test_poll__no_position__only_the_newest_sequence(vik):
    event = publish("releases")

    assert news(vik) == [{"type": "hello", "sequence": event.sequence}]


def test_poll__since_a_position__what_was_missed_in_order(vik):
    start = publish("releases").sequence
    missed = [publish(topic).sequence for topic in ("releases", "approvals", "releases")]

    assert [(said["type"], said["sequence"]) for said in news(vik, start)] == [
        ("event", missed[0]),
        ("event", missed[2]),
    ]
    assert news(vik, missed[2]) == []


def test_poll__too_much_missed__reload_from_the_newest(vik, monkeypatch):
    monkeypatch.setattr(selectors, "MISSED_MAX", 1)
    start = publish("releases").sequence
    newest = [publish("releases").sequence for _ in range(2)][-1]

    assert news(vik, start) == [{"type": "reload", "sequence": newest}]


def test_poll__ahead_of_a_restored_table__reload(vik):
    newest = publish("releases").sequence

    assert news(vik, newest + 5) == [{"type": "reload", "sequence": newest}]


def test_poll__only_chatter_was_let_go__no_reload(vik):
    start = publish("releases").sequence
    publish("endpoint.production.e", "windows.stored")
    later = publish("releases").sequence
    Event.objects.filter(kind="windows.stored").delete()

    assert [said["sequence"] for said in news(vik, start)] == [later]


@pytest.mark.parametrize(
    "query",
    [
        {"since": "x"},
        {"since": "-1"},
        {"since": "9" * 30},
        {"topics": ",".join(f"t{n}" for n in range(11))},
        {"topics": "x" * 131},
        {"topics": "a\x00"},
    ],
)
def test_poll__malformed__400(vik, query):
    assert vik.get(URL, {"topics": "releases", **query}).status_code == 400


@pytest.mark.parametrize("topics", ["secrets", "releases,endpoint.production.nothing"])
def test_poll__topic_that_may_not_be_heard__403(vik, topics):
    assert vik.get(URL, {"topics": topics}).status_code == 403


def test_poll__not_signed_in__to_the_sign_in_page(db):
    answer = Client().get(URL, {"topics": "releases"})

    assert answer.status_code == 302
    assert answer["Location"].startswith("/sign-in/")


def test_poll__no_role__403(people):
    assert signed_in("noa").get(URL, {"topics": "releases"}).status_code == 403
