"""Websockets that tell a browser what changed. Permission decides which topics one may join; nothing is filtered per message."""

import asyncio
import contextlib
from typing import Any
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.contrib.auth import get_user
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.live import topics as topic_rules
from mlorch_site.live.outbox import group_of
from mlorch_site.live.selectors import events_after, newest_sequence

RECHECK_S = 4.0
CLOSE_UNAUTHENTICATED = 4401
CLOSE_FORBIDDEN = 4403
CLOSE_MALFORMED = 4400


class LiveConsumer(AsyncJsonWebsocketConsumer):
    """`/ws/live/?topics=a,b&since=N`: first what was missed since N, then every event as it is committed.

    Rights are looked at again every `RECHECK_S` seconds; who lost them is closed.
    """

    topics: list[str]
    sequence: int
    _watch: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        query = parse_qs(self.scope["query_string"].decode())
        try:
            self.topics = self.wanted_topics(query)
            self.sequence = int(query.get("since", ["0"])[0])
        except ValueError:
            await self.refuse(CLOSE_MALFORMED)
            return
        if refusal := await self._refusal():
            await self.refuse(refusal)
            return
        for topic in self.topics:
            await self.channel_layer.group_add(group_of(topic), self.channel_name)
        await self.accept()
        await self.catch_up()
        self._watch = asyncio.create_task(self._watch_rights())

    def wanted_topics(self, query: dict[str, list[str]]) -> list[str]:
        """Return the topics this connection asks for. Raises ValueError."""
        wanted = topic_rules.parse(query.get("topics", [""])[0])
        if not wanted:
            raise ValueError("no topics")
        return wanted

    async def refuse(self, code: int) -> None:
        """Accept and close at once: only so does a browser learn the reason."""
        await self.accept()
        await self.close(code)

    @database_sync_to_async
    def _actor(self) -> Actor:
        # The session may have ended or its person been disabled since the socket was opened: both are read again.
        request = HttpRequest()
        request.session = SessionStore(self.scope["session"].session_key)
        user = get_user(request)
        return actor_for_user(user) if isinstance(user, User) else Actor.anonymous()

    async def _refusal(self) -> int:
        actor = await self._actor()
        if actor.user is None:
            return CLOSE_UNAUTHENTICATED
        allowed = await database_sync_to_async(
            lambda: all(topic_rules.may_join(actor, topic) for topic in self.topics)
        )()
        return 0 if allowed else CLOSE_FORBIDDEN

    async def _watch_rights(self) -> None:
        while True:
            await asyncio.sleep(RECHECK_S)
            if refusal := await self._refusal():
                await self.close(refusal)
                return

    async def catch_up(self) -> None:
        """Send what was missed, or ask for a reload when that is too much or the client has no position."""
        if self.sequence <= 0:
            self.sequence = await database_sync_to_async(newest_sequence)()
            await self.send_json({"type": "hello", "sequence": self.sequence})
            return
        events, too_many = await database_sync_to_async(events_after)(self.topics, self.sequence)
        await self.send_json({"type": "hello", "sequence": self.sequence})
        if too_many:
            self.sequence = await database_sync_to_async(newest_sequence)()
            await self.send_json({"type": "reload", "sequence": self.sequence})
            return
        for event in events:
            await self._tell(event)

    async def live_event(self, message: dict[str, Any]) -> None:
        """A change was committed; messages can overtake each other, so what is missing is read from the table."""
        if message["sequence"] <= self.sequence:
            return
        events, _ = await database_sync_to_async(events_after)(self.topics, self.sequence)
        for event in events:
            await self._tell(event)

    async def _tell(self, event: dict[str, Any]) -> None:
        if event["sequence"] > self.sequence:
            self.sequence = event["sequence"]
            await self.send_json(event)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """A client's message only keeps the connection alive."""
        await self.send_json({"type": "pong", "sequence": self.sequence})

    async def disconnect(self, code: int) -> None:
        if self._watch:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        for topic in getattr(self, "topics", []):
            await self.channel_layer.group_discard(group_of(topic), self.channel_name)
