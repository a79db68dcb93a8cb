"""Websockets that tell a browser what changed.

Permission decides which topics one may join; nothing is filtered per message.
"""

from typing import Any
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.accounts.selectors import actor_for_user, user_of_session
from mlorch_site.live import topics as topic_rules
from mlorch_site.live.outbox import group_of
from mlorch_site.live.refused_sockets import refused_socket_note
from mlorch_site.live.rights import CLOSE_TOO_MANY, CLOSE_UNAUTHENTICATED, rights_watch
from mlorch_site.live.selectors import events_after, missed_since, newest_sequence
from mlorch_site.live.shared import read_once

CLOSE_FORBIDDEN = 4403
CLOSE_MALFORMED = 4400
WHY = {
    CLOSE_UNAUTHENTICATED: "Nobody is signed in.",
    CLOSE_FORBIDDEN: "This person may not listen to what was asked for.",
    CLOSE_TOO_MANY: "This person has as many connections open as one may have.",
}


class LiveConsumer(AsyncJsonWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """`/ws/live/?topics=a,b&since=N`: first what was missed since N, then every event as it is committed, in order and
    once.

    Rights are looked at again while it is open (`RightsWatch`).
    """

    topics: list[str]
    sequence: int
    user: User | None = None  # whose it is, once that is known
    person = 0
    looked_up_to = -1  # the newest of all events when it was last looked for what was missed

    async def connect(self) -> None:
        query = parse_qs(self.scope["query_string"].decode(errors="replace"))
        try:
            self.topics = self.wanted_topics(query)
            self.sequence = topic_rules.position(query.get("since", ["0"])[0])
        except ValueError:
            await self.refuse(CLOSE_MALFORMED)
            return
        refusal = await database_sync_to_async(self.refusal)()
        if not refusal and rights_watch().count_of(self.person) >= settings.SOCKETS_PER_PERSON:
            refusal = CLOSE_TOO_MANY
        if refusal:
            await database_sync_to_async(self.note)(WHY[refusal])
            await self.refuse(refusal)
            return
        rights_watch().join(self)
        for topic in self.topics:
            await self.channel_layer.group_add(group_of(topic), self.channel_name)
        await self.accept()
        await self.catch_up()

    def wanted_topics(self, query: dict[str, list[str]]) -> list[str]:
        """The topics this connection asks for. Raises ValueError."""
        wanted = topic_rules.parse(query.get("topics", [""])[0])
        if not wanted:
            raise ValueError("no topics")
        return wanted

    async def refuse(self, code: int) -> None:
        """Accept and close at once: only so does a browser learn the reason."""
        await self.accept()
        await self.close(code)

    def note(self, reason: str) -> None:
        """Record that this connection is refused."""
        refused_socket_note(self.scope, user=self.user, reason=reason)

    @property
    def session_key(self) -> str:
        return self.scope["session"].session_key or ""

    def refusal(self) -> int:
        """The code to close with, 0 when the person may listen to all topics, as the database says now."""
        user = user_of_session(self.session_key)
        if user is None:
            return CLOSE_UNAUTHENTICATED
        self.user, self.person = user, user.pk
        actor: Actor = actor_for_user(user)
        return 0 if all(topic_rules.may_join(actor, topic) for topic in self.topics) else CLOSE_FORBIDDEN

    async def catch_up(self) -> None:
        """Send what was missed, or ask for a reload when that is too much; without a position, only say where the news
        stand.
        """
        if self.sequence == 0:
            self.sequence = await database_sync_to_async(newest_sequence)()
            await self.send_json({"type": "hello", "sequence": self.sequence})
            return
        await self.send_json({"type": "hello", "sequence": self.sequence})
        await self._tell(*await database_sync_to_async(missed_since)(self.topics, self.sequence))

    async def live_event(self, message: dict[str, Any]) -> None:
        """A change was committed; messages can overtake each other, so what is missing is read from the table."""
        if message["sequence"] > self.sequence:
            key = ("events", tuple(self.topics), self.sequence, message["sequence"])
            await self._tell(*await read_once(key, events_after, self.topics, self.sequence))

    async def _tell(self, events: list[dict[str, Any]], too_many: bool) -> None:
        if too_many:
            self.sequence = await database_sync_to_async(newest_sequence)()
            await self.send_json({"type": "reload", "sequence": self.sequence})
            return
        for event in events:
            self.sequence = event["sequence"]
            await self.send_json(event)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any) -> None:
        """A client's message, whatever it says, asks whether it knows everything: what it missed is sent, then the
        position.
        """
        await self.look_again()
        await self.send_json({"type": "pong", "sequence": self.sequence})

    async def look_again(self) -> None:
        """Send what no hint told of. Where nothing at all was published, that costs no read of its own."""
        newest = await read_once("newest", newest_sequence)
        if newest != self.looked_up_to:
            key = ("missed", tuple(self.topics), self.sequence, newest)
            await self._tell(*await read_once(key, missed_since, self.topics, self.sequence))
            self.looked_up_to = newest

    async def disconnect(self, code: int) -> None:
        rights_watch().leave(self)
        for topic in getattr(self, "topics", []):
            await self.channel_layer.group_discard(group_of(topic), self.channel_name)
