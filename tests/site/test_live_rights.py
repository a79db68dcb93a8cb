"""What happens to open websockets when rights go."""

from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.test import TestCase

from deployments.models import Endpoint
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.bindings import issuer_roles_set, role_bind, role_unbind
from mlorch_site.accounts.models import PersonSession, RoleBinding, User
from mlorch_site.accounts.person_sessions import person_session_end
from mlorch_site.accounts.roles import Role
from mlorch_site.accounts.selectors import actor_for_user, session_marks
from mlorch_site.accounts.services import person_edit
from mlorch_site.lib import clock
from mlorch_site.live import consumers, notifier, rights
from mlorch_site.live.outbox import group_of
from mlorch_site.live.topics import RIGHTS, may_join
from registry.models import Model
from registry.services import environment_create
from tests.deployments.world import World
from tests.factories import PASSWORD
from tests.support.live import async_publish, close_code, hello, run, signed_in, socket
from tests.support.waiting import auntil, patience

NEVER_S = 3600.0


@pytest.fixture
def vik(people):
    return signed_in("vik")


@pytest.fixture
def quick_recheck(monkeypatch):
    monkeypatch.setattr(rights, "RECHECK_S", 0.01)
    monkeypatch.setattr(rights, "PAUSE_S", 0.0)


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


def _end_session(client):
    """As its person does from another browser."""
    person, at = User.objects.get(username="vik"), clock.now()
    row = PersonSession.objects.create(
        user=person, session_key=client.session.session_key, began_at=at, last_seen_at=at, proven_by="password"
    )
    person_session_end(actor=actor_for_user(person), user=person, number=row.pk)


def _leave_group(client):
    """As the issuer says at the next sign-on."""
    person = User.objects.get(username="vik")
    RoleBinding.objects.filter(user=person).update(issuer="house")
    later = clock.now() + timedelta(days=1)
    issuer_roles_set(actor=Actor.controller("test"), user=person, issuer="house", wanted=set(), expires_at=later)


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
        (_end_session, consumers.CLOSE_UNAUTHENTICATED),
        (_leave_group, consumers.CLOSE_FORBIDDEN),
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


def _narrow_role(client):
    administrator, person = Actor.controller("test"), User.objects.get(username="vik")
    role_bind(actor=administrator, user=person, role=Role.VIEWER, scope="environment:production", reason="only that")
    _take_role_everywhere(administrator, person)


def _take_role_everywhere(administrator, person):
    binding = RoleBinding.objects.get(user=person, scope="*", ended_at=None)
    role_unbind(actor=administrator, binding=binding, reason="over")


def _switch_off(client):
    _edit(active=False)


def _set_password(client):
    _edit(active=True, password="another long password")


def _edit(**values):
    person = User.objects.get(username="vik")
    person_edit(actor=Actor.controller("test"), user=person, full_name="Vik", staff=False, **values)


def _sign_out_on_the_page(client):
    assert client.post("/sign-out/").status_code == 302


def _change_password_on_the_page(client):
    """From another browser: this one's session ends."""
    form = {
        "old_password": PASSWORD,
        "new_password1": "another long password",
        "new_password2": "another long password",
    }
    assert signed_in("vik").post("/password/", form).status_code == 303


@pytest.fixture
def by_news_alone(monkeypatch):
    """No look comes by itself: neither for rights nor for events that nobody told of."""
    monkeypatch.setattr(rights, "RECHECK_S", NEVER_S)
    monkeypatch.setattr(notifier, "LOOK_S", NEVER_S)


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (_take_role, consumers.CLOSE_FORBIDDEN),
        (_narrow_role, consumers.CLOSE_FORBIDDEN),
        (_leave_group, consumers.CLOSE_FORBIDDEN),
        (_end_session, consumers.CLOSE_UNAUTHENTICATED),
        (_sign_out_on_the_page, consumers.CLOSE_UNAUTHENTICATED),
        (_change_password_on_the_page, consumers.CLOSE_UNAUTHENTICATED),
        (_set_password, consumers.CLOSE_UNAUTHENTICATED),
        (_switch_off, consumers.CLOSE_UNAUTHENTICATED),
    ],
)
def test_rights__withdrawn_by_an_act__closed_by_its_event_and_others_stay(
    vik, people, data_dir, by_news_alone, act, code
):
    World(people)
    staging = environment_create(actor=Actor.controller("test"), name="staging", position=1, gates=[])
    Endpoint.objects.create(environment=staging, model=Model.objects.get(), name="clinic", created_at=clock.now())
    topic, others = "endpoint.staging.clinic", signed_in("mona")

    def withdraw():
        with TestCase.captureOnCommitCallbacks(execute=True):
            act(vik)

    async def scenario():
        async with (
            socket("/ws/live/?topics=releases", others) as other,
            socket(f"/ws/live/?topics={topic}", vik) as ws,
        ):
            await hello(ws)
            await hello(other)
            await auntil(lambda: group_of(RIGHTS) in get_channel_layer().groups, "news of rights are listened to")
            await sync_to_async(withdraw)()
            closed = await close_code(ws)
            event = await async_publish("releases")
            return closed, event.sequence, (await other.receive_json_from(timeout=patience()))["sequence"]

    closed, published, heard = run(scenario)
    assert (closed, published) == (code, heard)


def test_rights__role_expires_while_listening__closed_when_it_does_and_not_at_a_later_look(vik, by_news_alone):
    """Nothing is written at that moment; its end was known before."""
    soon = clock.now() + timedelta(seconds=0.5)
    RoleBinding.objects.filter(user__username="vik").update(expires_at=soon)

    async def scenario():
        async with socket("/ws/live/?topics=releases", vik) as ws:
            await hello(ws)
            return await close_code(ws)

    assert run(scenario) == consumers.CLOSE_FORBIDDEN
    assert clock.now() >= soon


def test_rights__news_lost__closed_by_the_look_at_the_events(vik, monkeypatch):
    monkeypatch.setattr(rights, "RECHECK_S", NEVER_S)
    monkeypatch.setattr(notifier, "LOOK_S", 0.05)

    async def scenario():
        async with socket("/ws/live/?topics=releases", vik) as ws:
            await hello(ws)
            await sync_to_async(_take_role)(vik)  # in the test's own transaction: nobody is told of its commit
            return await close_code(ws)

    assert run(scenario) == consumers.CLOSE_FORBIDDEN


def test_topic_of_rights__is_for_nobody_to_join(people):
    assert not may_join(people.ada.actor, RIGHTS)


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
