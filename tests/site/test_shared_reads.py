"""News reach many connections at once: the database is asked once for all of them, and their rights are looked at
together.
"""

import asyncio

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mlorch_site.accounts.models import User
from mlorch_site.accounts.selectors import session_marks
from mlorch_site.live import consumers, shared
from mlorch_site.live.shared import read_once
from tests.support.live import async_publish, run, signed_in, socket
from tests.support.waiting import patience


def counting(answers):
    """A function that gives the next of `answers` with each call, raising those that are errors."""
    left = iter(answers)

    def read():
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return read


def test_read_once__same_key__one_read(db):
    read = counting([1, 2])

    async def scenario():
        return await asyncio.gather(*(read_once(key, read) for key in ("a", "a", "b", "a")))

    assert sorted(run(scenario)) == [1, 1, 1, 2]


def test_read_once__failed__is_read_again(db):
    read = counting([OSError("away"), 7])

    async def scenario():
        with pytest.raises(OSError, match="away"):
            await read_once("a", read)
        return await read_once("a", read)

    assert run(scenario) == 7


def test_read_once__one_who_waits_leaves__the_others_get_the_answer(db):
    async def scenario():
        waiting = [asyncio.create_task(read_once("a", counting([1]))) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        return await waiting[1]

    assert run(scenario) == 1


def test_read_once__too_old_or_too_many__is_read_again(db, monkeypatch):
    read = counting(range(100))

    async def scenario():
        first = await read_once("a", read)
        for number in range(shared.READS_KEPT):
            await read_once(number, read)
        pushed_out = await read_once("a", read)
        monkeypatch.setattr(shared, "KEPT_S", -1.0)
        return first, pushed_out, await read_once("a", read)

    assert run(scenario) == (0, shared.READS_KEPT + 1, shared.READS_KEPT + 2)


def test_sockets__three_on_one_topic__each_event_read_once_and_told_to_all(people, monkeypatch):
    reads = []
    monkeypatch.setattr(
        consumers, "events_after", lambda *asked, real=consumers.events_after: reads.append(asked) or real(*asked)
    )
    client = signed_in("vik")
    path = "/ws/live/?topics=releases"

    async def scenario():
        async with socket(path, client) as one, socket(path, client) as two, socket(path, client) as three:
            everybody = (one, two, three)
            for ws in everybody:
                assert (await ws.receive_json_from(timeout=patience()))["type"] == "hello"
            sent = [(await async_publish("releases")).sequence for _ in range(2)]
            heard = [[(await ws.receive_json_from(timeout=patience()))["sequence"] for _ in sent] for ws in everybody]
            return sent, heard

    sent, heard = run(scenario)
    assert heard == [sent] * 3
    assert len(reads) <= 2


def keys_of(*names):
    return [signed_in(name).session.session_key for name in names]


def test_marks__however_many_sessions__the_same_queries(people):
    few, many = keys_of("vik"), keys_of("vik", "emma", "rita", "mona", "noa")
    counts = []
    for keys in (few, many):
        with CaptureQueriesContext(connection) as queries:
            assert set(session_marks(keys)) == set(keys)
        counts.append(len(queries))

    assert counts[0] == counts[1] <= 3


@pytest.mark.parametrize("change", ["bindings", "password", "nothing"])
def test_marks__what_rights_hang_on__changes_them(people, change):
    (key,) = keys_of("vik")
    before = session_marks([key])[key].text
    vik = User.objects.get(username="vik")
    if change == "bindings":
        vik.bindings.create(role="reviewer", scope="*")
    elif change == "password":
        vik.set_password("another long password")
        vik.save()

    assert (session_marks([key])[key].text == before) is (change == "nothing")


@pytest.mark.parametrize("ended", ["disabled", "signed out", "never was"])
def test_marks__session_over__left_out(people, ended):
    client = signed_in("vik")
    key = client.session.session_key
    if ended == "disabled":
        User.objects.filter(username="vik").update(is_active=False)
    elif ended == "signed out":
        client.session.flush()

    assert session_marks(["0" * 32 if ended == "never was" else key]) == {}
