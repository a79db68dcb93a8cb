"""What happens to open websockets when rights go."""

from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.bindings import issuer_roles_set, role_bind, role_unbind
from mlorch_site.accounts.models import PersonSession, RoleBinding, User
from mlorch_site.accounts.person_sessions import person_session_end
from mlorch_site.accounts.roles import Role
from mlorch_site.accounts.selectors import actor_for_user, session_marks
from mlorch_site.lib import clock
from mlorch_site.live import consumers, rights
from mlorch_site.live.topics import may_join
from tests.support.live import async_publish, close_code, hello, run, signed_in, socket
from tests.support.waiting import auntil


@pytest.fixture
def vik(people):
    return signed_in("vik")


@pytest.fixture
def quick_recheck(monkeypatch):
    monkeypatch.setattr(rights, "RECHECK_S", 0.01)


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
