"""Waiting for news inside the web process: whoever listens is woken when an event on one of its topics was committed.

At once by the nudge that follows the commit, from whichever process. Should it be lost, within `LOOK_S` by a look at
the event table that all listeners of the process share: one query a second when nothing happens, however many wait.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import Context
from weakref import WeakKeyDictionary

import structlog
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer

from mlorch_site.lib.connections import Kept
from mlorch_site.live.outbox import group_of
from mlorch_site.live.selectors import topics_after

log = structlog.get_logger(__name__)

LOOK_S = 1.0
RETRY_S = 1.0


class Listener:
    """One who waits. News from its beginning on count, also those that come between two waits."""

    def __init__(self, topics: Iterable[str]) -> None:
        self.topics = frozenset(topics)
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def wait(self, within_s: float) -> bool:
        """True when there was news since the last time, False when there is none within that many seconds."""
        try:
            async with asyncio.timeout(max(within_s, 0)):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True


class Notifier:
    """Receives nudges and looks, for all listeners of an event loop, from the first listener on."""

    def __init__(self) -> None:
        self.turn = 0  # rises with all news: what is read after it holds them
        self._listeners: set[Listener] = set()
        self._subscriptions: dict[str, asyncio.Task[None]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._head: int | None = None
        self._kept = Kept()

    @contextmanager
    def listening(self, *topics: str) -> Iterator[Listener]:
        """Give a listener; what is read from then on, and whatever it is woken for, leaves no gap."""
        listener = Listener(topics)
        self._listeners.add(listener)
        self._begin(topics)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def _begin(self, topics: Iterable[str]) -> None:
        # In contexts of their own: they outlive the request that begins them, and so must not use its thread.
        for topic in set(topics) - set(self._subscriptions):
            self._subscriptions[topic] = asyncio.get_running_loop().create_task(
                self._receive_for_ever(topic), context=Context()
            )
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look_for_ever(), context=Context())

    def _wake(self, topics: set[str]) -> None:
        if topics:
            self.turn += 1
        for listener in self._listeners:
            if listener.topics & topics:
                listener.wake()

    async def _receive_for_ever(self, topic: str) -> None:
        while True:
            try:
                await self._receive(topic)
            except Exception as error:  # whatever the broker's client raises: the look finds what is missed
                log.warning("notifier.receive_failed", topic=topic, error=type(error).__name__)
            await asyncio.sleep(RETRY_S)

    async def _receive(self, topic: str) -> None:
        layer = get_channel_layer()
        channel = await layer.new_channel()
        await layer.group_add(group_of(topic), channel)
        while True:
            await layer.receive(channel)
            self._wake({topic})

    async def _look_for_ever(self) -> None:
        while True:
            if self._listeners:
                await self._look()
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        asked = sorted(self._subscriptions)
        try:
            self._head, topics = await sync_to_async(self._kept.call)(topics_after, self._head, asked)
        except Exception as error:  # whatever it is, the next look must come
            log.warning("notifier.look_failed", error=type(error).__name__)
        else:
            # A topic that was first listened to meanwhile has not been looked at, and what happened on it is behind the
            # head now.
            self._wake(topics | set(self._subscriptions) - set(asked))


_notifiers: "WeakKeyDictionary[asyncio.AbstractEventLoop, Notifier]" = WeakKeyDictionary()


def notifier() -> Notifier:
    """The notifier of this process (of its event loop)."""
    return _notifiers.setdefault(asyncio.get_running_loop(), Notifier())
