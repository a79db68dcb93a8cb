"""What a browser hears over /ws/live/: who may listen, what it missed, and what happens when rights go."""

from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.bindings import role_bind, role_unbind
from mlorch_site.accounts.models import RoleBinding, User
from mlorch_site.accounts.roles import Role
from mlorch_site.accounts.selectors import session_marks
from mlorch_site.asgi import application
from mlorch_site.lib import clock
from mlorch_site.live import consumers, outbox, rights, selectors
from mlorch_site.live.models import Event
from mlorch_site.live.origin import is_of_ours
from mlorch_site.live.outbox import group_of
from mlorch_site.live.topics import may_join
from tests.support.live import async_publish, close_code, publish, run, signed_in, socket
from tests.support.waiting import auntil, patience


@pytest.fixture
def vik(people):
    return signed_in("vik")


@pytest.fixture
def quick_recheck(monkeypatch):
    monkeypatch.setattr(rights, "RECHECK_S", 0.01)


async def hello(ws):
    message = await ws.receive_json_from(timeout=5)
    assert message["type"] == "hello"
    return message["sequence"]


def test_connect__no_position__says_where_the_news_stand(vik):
    publish("releases")

    async def scenario():
        async with socket("/ws/live/?topics=releases", vik) as ws:
            return await hello(ws), await ws.receive_nothing()

    assert run(scenario) == (selectors.newest_sequence(), True)


def test_event__published__arrives_on_its_topic_only(vik):
    async def scenario():
        async with socket("/ws/live/?topics=releases", vik) as ws:
            await hello(ws)
            await async_publish("approvals", "approval.changed")
            event = await async_publish("releases", "release.changed", {"release": "1"})
            message = await ws.receive_json_from(timeout=5)
            assert await ws.receive_nothing()
            return event, message

    event, message = run(scenario)
    assert message == {
        "type": "event",
        "sequence": event.sequence,
        "topic": "releases",
        "kind": "release.changed",
        "data": {},
    }


def test_events__since_a_position__before_plus_events_is_after(vik):
    state = [publish("releases").sequence]
    missed = [publish("releases").sequence for _ in range(3)]

    async def scenario():
        async with socket(f"/ws/live/?topics=releases,approvals&since={state[0]}", vik) as ws:
            await hello(ws)
            later = [(await async_publish(topic)).sequence for topic in ("approvals", "releases")]
            return later, [(await ws.receive_json_from(timeout=5))["sequence"] for _ in range(5)]

    later, heard = run(scenario)
    assert heard == missed + later


def test_event__told_twice_or_late__is_sent_once_and_in_order(vik):
    async def scenario():
        async with socket("/ws/live/?topics=releases", vik) as ws:
            await hello(ws)
            first, second = [await sync_to_async(_silently)("releases") for _ in range(2)]
            layer = get_channel_layer()
            for event in (second, first, second):
                message = {"type": "live.event", "sequence": event.sequence, "topic": "releases", "kind": event.kind}
                await layer.group_send(group_of("releases"), message)
            heard = [(await ws.receive_json_from(timeout=5))["sequence"] for _ in range(2)]
            assert await ws.receive_nothing()
            return [first.sequence, second.sequence], heard

    published, heard = run(scenario)
    assert heard == published


def _silently(topic):
    """Publish as a process that dies right after its commit."""
    with transaction.atomic():
        return outbox.publish(topic, "release.changed")


@pytest.mark.parametrize("case", ["too many", "not kept", "ahead"])
def test_catch_up__cannot_be_listed__asks_for_a_reload(vik, monkeypatch, case):
    monkeypatch.setattr(selectors, "MISSED_MAX", 2)
    first = publish("releases").sequence
    newest = [publish("releases").sequence for _ in range(3 if case == "too many" else 2)][-1]
    if case == "not kept":
        Event.objects.filter(sequence__lte=first + 1).delete()
    since = newest + 7 if case == "ahead" else first

    async def scenario():
        async with socket(f"/ws/live/?topics=releases&since={since}", vik) as ws:
            await hello(ws)
            return await ws.receive_json_from(timeout=5)

    assert run(scenario) == {"type": "reload", "sequence": newest}


def test_news__more_at_once_than_can_be_listed__asks_for_a_reload(vik, monkeypatch):
    monkeypatch.setattr(selectors, "MISSED_MAX", 2)

    async def scenario():
        async with socket("/ws/live/?topics=releases", vik) as ws:
            await hello(ws)
            for _ in range(2):
                await sync_to_async(_silently)("releases")
            newest = await async_publish("releases")
            return newest.sequence, await ws.receive_json_from(timeout=5)

    newest, message = run(scenario)
    assert message == {"type": "reload", "sequence": newest}


def test_message_from_client__whatever_it_says__is_answered_with_the_position(vik):
    async def scenario():
        async with socket("/ws/live/?topics=releases", vik) as ws:
            sequence = await hello(ws)
            await ws.send_to(text_data="{nonsense")
            return sequence, await ws.receive_json_from(timeout=5)

    sequence, answer = run(scenario)
    assert answer == {"type": "pong", "sequence": sequence}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("topics=", consumers.CLOSE_MALFORMED),
        ("topics=releases&since=-1", consumers.CLOSE_MALFORMED),
        ("topics=releases&since=99999999999999999999", consumers.CLOSE_MALFORMED),
        ("topics=releases&since=x", consumers.CLOSE_MALFORMED),
        ("topics=releases%00", consumers.CLOSE_MALFORMED),
        (f"topics={','.join(f'release.{n}' for n in range(11))}", consumers.CLOSE_MALFORMED),
        ("topics=secrets", consumers.CLOSE_FORBIDDEN),
        ("topics=releases,secrets", consumers.CLOSE_FORBIDDEN),
        ("topics=endpoint.production.nothing", consumers.CLOSE_FORBIDDEN),
        ("topics=release.not-an-id", consumers.CLOSE_FORBIDDEN),
    ],
)
def test_connect__not_to_be_heard__is_closed_with_the_reason(vik, query, code):
    async def scenario():
        async with socket(f"/ws/live/?{query}", vik) as ws:
            return await close_code(ws)

    assert run(scenario) == code


def test_connect__not_signed_in__is_closed(people):
    async def scenario():
        async with socket("/ws/live/?topics=releases", None) as ws:
            return await close_code(ws)

    assert run(scenario) == consumers.CLOSE_UNAUTHENTICATED


def test_connect__no_role_at_all__is_forbidden(people):
    async def scenario():
        async with socket("/ws/live/?topics=releases", signed_in_noa) as ws:
            return await close_code(ws)

    signed_in_noa = signed_in("noa")
    assert run(scenario) == consumers.CLOSE_FORBIDDEN


def _disable(client):
    User.objects.filter(username="vik").update(is_active=False)


def _sign_out(client):
    client.session.flush()


def _change_password(client):
    user = User.objects.get(username="vik")
    user.set_password("another long password")
    user.save()


def _take_role(client):
    administrator = Actor.controller("test")
    role_unbind(actor=administrator, binding=RoleBinding.objects.get(user__username="vik"), reason="over")


def _idle(client):
    session = client.session
    session["last_seen"] = 0.0
    session.save()


@pytest.mark.parametrize(
    ("withdraw", "code"),
    [
        (_disable, consumers.CLOSE_UNAUTHENTICATED),
        (_sign_out, consumers.CLOSE_UNAUTHENTICATED),
        (_change_password, consumers.CLOSE_UNAUTHENTICATED),
        (_idle, consumers.CLOSE_UNAUTHENTICATED),
        (_take_role, consumers.CLOSE_FORBIDDEN),
    ],
)
def test_rights__withdrawn_while_listening__closed_at_the_next_look(vik, quick_recheck, withdraw, code):
    async def scenario():
        async with socket("/ws/live/?topics=releases", vik) as ws:
            await hello(ws)
            await sync_to_async(withdraw)(vik)
            return await close_code(ws)

    assert run(scenario) == code


@pytest.fixture
def looks(quick_recheck, monkeypatch):
    """The looks at rights so far. What a look found is kept when the next one begins."""
    made = []

    def looking(keys):
        made.append(keys)
        return session_marks(keys)

    monkeypatch.setattr(rights, "session_marks", looking)
    return made


async def looked(looks):
    """Wait until what holds now has been looked at, and that was kept."""
    before = len(looks)
    await auntil(lambda: len(looks) >= before + 3, "the rights are looked at again")


def test_rights__role_expires_while_listening__closed_at_the_next_look(vik, looks, monkeypatch):
    """Nothing is written at that moment: the look itself sees that the role has expired."""
    end = clock.now() + timedelta(hours=1)
    RoleBinding.objects.filter(user__username="vik").update(expires_at=end)

    async def scenario():
        async with socket("/ws/live/?topics=releases", vik) as ws:
            await hello(ws)
            await looked(looks)
            monkeypatch.setattr(clock, "now", lambda: end)
            return await close_code(ws)

    assert run(scenario) == consumers.CLOSE_FORBIDDEN


def test_rights__one_of_two_roles_ends__goes_on(vik, people, looks):
    administrator, user = Actor.controller("test"), people.vik.user
    role_bind(actor=administrator, user=user, role=Role.ENGINEER, scope="*", reason="for now")

    async def scenario():
        async with socket("/ws/live/?topics=releases", vik) as ws:
            await hello(ws)
            await sync_to_async(_take_viewer)()
            await looked(looks)
            event = await async_publish("releases")
            return event.sequence, (await ws.receive_json_from(timeout=5))["sequence"]

    published, heard = run(scenario)
    assert published == heard


def _take_viewer():
    viewer = RoleBinding.objects.get(user__username="vik", role="viewer")
    role_unbind(actor=Actor.controller("test"), binding=viewer, reason="over")


@pytest.mark.parametrize(
    ("who", "topic", "may"),
    [
        ("vik", "person.{own}", True),
        ("noa", "person.{own}", True),
        ("ada", "person.{own}", True),
        ("ada", "person.1", True),
        ("ada", "people", True),
        ("vik", "people", False),
        ("vik", "person.{other}", False),
        ("mona", "person.{other}", False),
        ("vik", "person", False),
        ("ada", "person.²", False),
        ("ada", "people.1", False),
    ],
)
def test_topics__of_people__for_who_gives_roles_and_for_oneself(people, who, topic, may):
    person = getattr(people, who)
    named = topic.format(own=person.user.pk, other=people.emma.user.pk)
    assert may_join(person.actor, named) is may


def test_rights__cannot_be_looked_at__closed(vik, quick_recheck, monkeypatch):
    def unreachable(keys):
        raise OSError("the database is away")

    async def scenario():
        async with socket("/ws/live/?topics=releases", vik) as ws:
            await hello(ws)
            monkeypatch.setattr(rights, "session_marks", unreachable)
            return await close_code(ws)

    assert run(scenario) == rights.CLOSE_UNAVAILABLE


def test_recheck__comes_within_five_seconds():
    assert rights.RECHECK_S <= 5


def test_sockets__more_than_a_person_may_have__are_refused_until_one_is_closed(vik, settings):
    settings.SOCKETS_PER_PERSON = 2
    mona = signed_in("mona")
    path = "/ws/live/?topics=releases"

    async def scenario():
        async with socket(path, vik) as first:
            await hello(first)
            async with socket(path, vik) as second:
                await hello(second)
                async with socket(path, vik) as third, socket(path, mona) as other:
                    refused = await close_code(third)
                    await hello(other)
            async with socket(path, vik) as again:
                await hello(again)
        return refused

    assert run(scenario) == rights.CLOSE_TOO_MANY


OURS = [(b"host", b"mlorch.example:8000"), (b"origin", b"http://mlorch.example:8000")]


@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        (OURS, True),
        ([(b"host", b"mlorch.example"), (b"origin", b"https://mlorch.example")], True),
        ([OURS[0], (b"origin", b"http://mlorch.example:9000")], False),
        ([OURS[0], (b"origin", b"http://mlorch.example")], False),
        ([OURS[0], (b"origin", b"http://evil.example:8000")], False),
        ([OURS[0], (b"origin", b"null")], False),
        ([OURS[0], (b"origin", b"http://[")], False),
        ([OURS[0], (b"origin", b"https://partner.example")], True),
        ([OURS[0], (b"origin", b"http://partner.example")], False),
        ([OURS[0], (b"origin", b"https://a.friends.example")], True),
        ([OURS[0], (b"origin", b"https://friends.example.evil.example")], False),
        ([(b"host", b"evil.example"), (b"origin", b"http://evil.example")], False),
        ([*OURS, OURS[1]], False),
        ([OURS[0]], False),
    ],
)
def test_origin__is_the_host_that_was_asked_port_included(settings, headers, is_ours):
    settings.ALLOWED_HOSTS = ["mlorch.example"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://partner.example", "https://*.friends.example"]

    assert is_of_ours(headers) is is_ours


@pytest.mark.parametrize(("port", "opens"), [(8000, True), (9000, False)])
def test_application__page_of_another_port__cannot_open_a_websocket(vik, port, opens):
    cookie = f"{settings.SESSION_COOKIE_NAME}={vik.cookies[settings.SESSION_COOKIE_NAME].value}".encode()
    origin = f"http://localhost:{port}".encode()
    headers = [(b"host", b"localhost:8000"), (b"origin", origin), (b"cookie", cookie)]

    async def scenario():
        asked = WebsocketCommunicator(application, "/ws/live/?topics=releases", headers=headers)
        connected, _ = await asked.connect(timeout=patience())
        await asked.disconnect(timeout=patience())
        return connected

    assert run(scenario) is opens
