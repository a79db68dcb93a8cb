"""The rights of open connections, looked at again: at once when a change of rights was committed, at every end that is
known before, and now and then in case that all of this was missed. It is one look for all connections of a process, in
full only where something changed.
"""

import asyncio
from typing import Protocol
from weakref import WeakKeyDictionary

import structlog
from channels.db import database_sync_to_async

from mlorch_site.accounts.selectors import SessionMark, session_marks
from mlorch_site.lib import clock
from mlorch_site.live.notifier import Listener, notifier
from mlorch_site.live.topics import RIGHTS

log = structlog.get_logger(__name__)

RECHECK_S = 4.0
PAUSE_S = 0.25  # between two looks, however many changes there are
CLOSE_UNAUTHENTICATED = 4401
CLOSE_UNAVAILABLE = 1011
CLOSE_TOO_MANY = 4429


class RightsHolder(Protocol):
    """An open connection."""

    person: int

    @property
    def session_key(self) -> str: ...

    def refusal(self) -> int:
        """The code to close with, 0 when the person may listen (reads the database)."""

    async def close(self, code: int) -> None: ...


class RightsWatch:
    """Who lost the rights is closed, and so is everybody while they cannot be looked at.

    With each listener its session's mark is kept: while that stays the same, so does the answer of `refusal`.
    """

    def __init__(self) -> None:
        self._marks: dict[RightsHolder, SessionMark | None] = {}
        self._task: asyncio.Task[None] | None = None
        self._news: Listener | None = None

    def join(self, listener: RightsHolder) -> None:
        """Watch a listener's rights until it leaves."""
        self._marks[listener] = None
        if self._news is not None:
            self._news.wake()  # when its rights end is not known yet
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def count_of(self, person: int) -> int:
        """How many listeners of this process are a person's."""
        return sum(listener.person == person for listener in self._marks)

    def leave(self, listener: RightsHolder) -> None:
        """Forget a listener."""
        self._marks.pop(listener, None)
        if not self._marks and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        with notifier().listening(RIGHTS) as self._news:
            while True:
                await self._wait(self._news)
                await self._look()
                await asyncio.sleep(PAUSE_S)

    async def _wait(self, news: Listener) -> None:
        """Until rights changed, an end that is known has come, or it is time to look anyway."""
        ends = [mark.until for mark in self._marks.values() if mark is not None]
        until_s = (min(ends) - clock.now()).total_seconds() if ends else RECHECK_S
        await news.wait(min(RECHECK_S, until_s))

    async def _look(self) -> None:
        known = dict(self._marks)
        try:
            marks, refused = await database_sync_to_async(_looked)(known)
        except Exception as error:
            log.warning("live.rights_unknown", error=type(error).__name__)
            marks, refused = {}, dict.fromkeys(known, CLOSE_UNAVAILABLE)
        self._marks.update({listener: mark for listener, mark in marks.items() if listener in self._marks})
        await asyncio.gather(*(listener.close(code) for listener, code in refused.items()), return_exceptions=True)


def _looked(
    known: dict[RightsHolder, SessionMark | None],
) -> tuple[dict[RightsHolder, SessionMark], dict[RightsHolder, int]]:
    """The marks of now, and who is refused with which code."""
    found = session_marks([listener.session_key for listener in known])
    marks: dict[RightsHolder, SessionMark] = {}
    refused: dict[RightsHolder, int] = {}
    for listener, before in known.items():
        mark = found.get(listener.session_key)
        if mark is None:
            refused[listener] = CLOSE_UNAUTHENTICATED
        elif (before is None or mark.text != before.text) and (code := listener.refusal()):
            refused[listener] = code
        else:
            marks[listener] = mark
    return marks, refused


_watches: "WeakKeyDictionary[asyncio.AbstractEventLoop, RightsWatch]" = WeakKeyDictionary()


def rights_watch() -> RightsWatch:
    """The watch of this process (of its event loop)."""
    return _watches.setdefault(asyncio.get_running_loop(), RightsWatch())
