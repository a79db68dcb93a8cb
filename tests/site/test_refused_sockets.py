"""Websockets that are refused are in the record, and a flood of them does not fill it."""

from datetime import timedelta

import pytest
from channels.testing import WebsocketCommunicator
from django.conf import settings as site_settings

from mlorch_site.accounts.actor import Actor
from mlorch_site.asgi import application
from mlorch_site.audit import refusal_counts
from mlorch_site.audit.models import AuditRecord, RefusalCount
from mlorch_site.audit.refusal_counts import REFUSALS_NOTED_EVERY, is_waiting, refusal_count
from mlorch_site.audit.services import REFUSALS_NOTED_PER_MINUTE
from mlorch_site.audit.tasks import tell_refusals
from mlorch_site.lib import clock
from mlorch_site.live.consumers import CLOSE_FORBIDDEN, CLOSE_MALFORMED, CLOSE_TOO_MANY, CLOSE_UNAUTHENTICATED, WHY
from mlorch_site.live.origin import NOT_OURS
from tests.support.live import close_code, run, signed_in, socket
from tests.support.waiting import patience

LIVE = "/ws/live/?topics=releases"


def refusals() -> list[tuple[str, str, int]]:
    """Who was refused, why, how often, oldest first."""
    rows = AuditRecord.objects.filter(action="act.refused").order_by("sequence")
    return [(row.actor, row.reason, row.data["times"]) for row in rows]


def opened(path, client, times=1):
    """Open a websocket and be refused so many times; the last code."""

    async def scenario():
        for _ in range(times):
            async with socket(path, client) as ws:
                code = await close_code(ws)
        return code

    return run(scenario)


def denied(headers, path=LIVE, client=("192.0.2.7", 1)):
    """Ask the whole application; whether it opened."""

    async def scenario():
        asked = WebsocketCommunicator(application, path, headers=headers)
        asked.scope["client"] = list(client)
        connected, _ = await asked.connect(timeout=patience())
        await asked.disconnect(timeout=patience())
        return connected

    return run(scenario)


OURS = [(b"host", b"localhost:8000"), (b"origin", b"http://localhost:8000")]
FOREIGN = [(b"host", b"localhost:8000"), (b"origin", b"http://evil.example")]


def test_not_signed_in__recorded_without_a_person(people):
    assert opened(LIVE, None) == CLOSE_UNAUTHENTICATED
    assert refusals() == [("anonymous", WHY[CLOSE_UNAUTHENTICATED], 1)]


@pytest.mark.parametrize("path", ["/ws/live/?topics=endpoint.production.nothing", "/ws/charts/production/nothing/"])
def test_no_permission__recorded_with_the_person_and_the_path(people, path):
    assert opened(path, signed_in("vik")) == CLOSE_FORBIDDEN
    record = AuditRecord.objects.get(action="act.refused")
    assert refusals() == [("vik", WHY[CLOSE_FORBIDDEN], 1)]
    assert (record.subject_id, record.subject_label) == ("websocket", path.partition("?")[0])


def test_too_many__recorded(people, settings):
    settings.SOCKETS_PER_PERSON = 0
    assert opened(LIVE, signed_in("vik")) == CLOSE_TOO_MANY
    assert refusals() == [("vik", WHY[CLOSE_TOO_MANY], 1)]


def test_malformed__is_no_refused_act(people):
    assert opened("/ws/live/?topics=", signed_in("vik")) == CLOSE_MALFORMED
    assert refusals() == []


def test_opened__is_not_recorded(people):
    async def scenario():
        async with socket(LIVE, signed_in_vik) as ws:
            await ws.receive_json_from(timeout=patience())

    signed_in_vik = signed_in("vik")
    run(scenario)
    assert refusals() == []


@pytest.mark.parametrize("headers", [FOREIGN, FOREIGN[:1]])
def test_origin__of_another_site_or_none__recorded_with_the_address(people, headers):
    assert not denied(headers)
    record = AuditRecord.objects.get(action="act.refused")
    assert (record.actor, record.reason, record.address) == ("anonymous", NOT_OURS, "192.0.2.7")
    assert record.subject_label == "/ws/live/"


@pytest.mark.parametrize(("peer", "seen"), [("192.0.2.7", "192.0.2.7"), ("10.0.0.1", "203.0.113.9")])
def test_address__forwarded__is_believed_of_trusted_proxies_only(people, settings, peer, seen):
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    denied([*FOREIGN, (b"x-forwarded-for", b"203.0.113.9")], client=(peer, 1))
    assert AuditRecord.objects.get(action="act.refused").address == seen


def test_path__with_what_no_text_has__is_recorded_without_it(people):
    assert not denied(FOREIGN, path="/ws/\x00/")
    assert AuditRecord.objects.get(action="act.refused").subject_label == "(not readable)"


def test_cookie__of_a_session_that_was_ended__is_anonymous(people):
    vik = signed_in("vik")
    cookie = vik.cookies[site_settings.SESSION_COOKIE_NAME].value
    vik.session.flush()
    denied([*OURS, (b"cookie", f"{site_settings.SESSION_COOKIE_NAME}={cookie}".encode())])
    assert refusals() == [("anonymous", WHY[CLOSE_UNAUTHENTICATED], 1)]


def test_flood__is_one_record_and_then_one_with_the_count(people, time_machine):
    time_machine.move_to(clock.now(), tick=False)
    opened(LIVE, None, times=25)
    tell_refusals()
    assert refusals() == [("anonymous", WHY[CLOSE_UNAUTHENTICATED], 1)]
    time_machine.move_to(clock.now() + REFUSALS_NOTED_EVERY, tick=False)
    opened(LIVE, None)
    assert refusals()[1:] == [("anonymous", WHY[CLOSE_UNAUTHENTICATED], 25)]


def test_flood__that_stopped__is_told_by_the_tick_and_forgotten(people, time_machine):
    time_machine.move_to(clock.now(), tick=False)
    opened(LIVE, None, times=4)
    assert not is_waiting()
    time_machine.move_to(clock.now() + REFUSALS_NOTED_EVERY, tick=False)
    assert is_waiting()
    tell_refusals()
    tell_refusals()
    assert [times for _, _, times in refusals()] == [1, 3]
    time_machine.move_to(clock.now() + REFUSALS_NOTED_EVERY, tick=False)
    tell_refusals()
    assert not RefusalCount.objects.exists()
    assert not is_waiting()


def anonymous_from(address: str) -> Actor:
    return Actor(kind="anonymous", name="anonymous", address=address)


def test_flood__from_many_addresses__keeps_to_the_limit_of_refused_acts(people, time_machine):
    time_machine.move_to(clock.now(), tick=False)
    for number in range(REFUSALS_NOTED_PER_MINUTE + 20):
        refusal_count(actor=anonymous_from(f"192.0.2.{number}"), route="websocket", path="/", reason=NOT_OURS)
    assert len(refusals()) == REFUSALS_NOTED_PER_MINUTE
    time_machine.move_to(clock.now() + timedelta(seconds=61), tick=False)
    tell_refusals()
    assert len(refusals()) == REFUSALS_NOTED_PER_MINUTE + 20


def test_flood__from_addresses_without_end__keeps_so_many_rows(people, monkeypatch):
    monkeypatch.setattr(refusal_counts, "ADDRESSES_MAX", 5)
    for number in range(12):
        refusal_count(actor=anonymous_from(f"192.0.2.{number}"), route="websocket", path="/", reason=NOT_OURS)
    assert RefusalCount.objects.count() == 6
    assert RefusalCount.objects.get(address="elsewhere").unnoted == 6


def test_same_actor__other_reason__is_another_record(people):
    for reason in ("one", "two", "one"):
        refusal_count(actor=people.vik.actor, route="websocket", path="/", reason=reason)
    assert [reason for _, reason, _ in refusals()] == ["one", "two"]
