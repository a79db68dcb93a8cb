"""What a connection is told that asks whether it missed anything."""

import pytest
from asgiref.sync import sync_to_async

from mlorch_site.live import consumers
from tests.site.test_live_socket import _silently, hello
from tests.support.live import run, signed_in, socket


@pytest.fixture
def vik(people):
    return signed_in("vik")


def test_question__after_news_that_no_hint_told_of__is_answered_with_them_first(vik):
    async def scenario():
        async with socket("/ws/live/?topics=releases", vik) as ws:
            await hello(ws)
            lost = await sync_to_async(_silently)("releases")
            await ws.send_to(text_data="{}")
            return lost, [await ws.receive_json_from(timeout=5) for _ in range(2)]

    lost, (missed, pong) = run(scenario)
    assert (missed["type"], missed["sequence"]) == ("event", lost.sequence)
    assert pong == {"type": "pong", "sequence": lost.sequence}


def test_question__after_news_of_others__is_answered_with_the_same_position(vik):
    async def scenario():
        async with socket("/ws/live/?topics=releases", vik) as ws:
            sequence = await hello(ws)
            await sync_to_async(_silently)("approvals")
            await ws.send_to(text_data="{}")
            return sequence, await ws.receive_json_from(timeout=5)

    sequence, pong = run(scenario)
    assert pong == {"type": "pong", "sequence": sequence}


def test_question__where_nothing_was_published__is_looked_up_for_all_together(vik, monkeypatch):
    asked = []
    for name in ("newest_sequence", "missed_since"):
        read = getattr(consumers, name)
        monkeypatch.setattr(consumers, name, lambda *values, read=read: asked.append(read.__name__) or read(*values))

    async def scenario():
        async with socket("/ws/live/?topics=releases", vik) as ws, socket("/ws/live/?topics=releases", vik) as other:
            for connection in (ws, other):
                await hello(connection)
            asked.clear()
            for connection in (ws, other, ws, other):
                await connection.send_to(text_data="{}")
                await connection.receive_json_from(timeout=5)

    run(scenario)
    assert asked == ["newest_sequence", "missed_since"]
