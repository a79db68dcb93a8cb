"""The rights of open connections, looked at again and again: of all connections of a process at once, in full only
where something changed.
"""

import asyncio
from typing import Protocol
from weakref import WeakKeyDictionary

import structlog
from channels.db import database_sync_to_async

from mlorch_site.accounts.selectors import session_marks

log = structlog.get_logger(__name__)

RECHECK_S = 4.0
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
        self._marks: dict[RightsHolder, str] = {}
        self._task: asyncio.Task[None] | None = None

    def join(self, listener: RightsHolder) -> None:
        """Watch a listener's rights until it leaves."""
        self._marks[listener] = ""
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
        while True:
            await asyncio.sleep(RECHECK_S)
            known = dict(self._marks)
            try:
                marks, refused = await database_sync_to_async(_look)(known)
            except Exception as error:
                log.warning("live.rights_unknown", error=type(error).__name__)
                marks, refused = {}, dict.fromkeys(known, CLOSE_UNAVAILABLE)
            self._marks.update({listener: mark for listener, mark in marks.items() if listener in self._marks})
            await asyncio.gather(*(listener.close(code) for listener, code in refused.items()), return_exceptions=True)


def _look(known: dict[RightsHolder, str]) -> tuple[dict[RightsHolder, str], dict[RightsHolder, int]]:
    """The marks of now, and who is refused with which code."""
    found = session_marks([listener.session_key for listener in known])
    marks: dict[RightsHolder, str] = {}
    refused: dict[RightsHolder, int] = {}
    for listener, before in known.items():
        mark = found.get(listener.session_key)
        if mark is None:
            refused[listener] = CLOSE_UNAUTHENTICATED
        elif mark != before and (code := listener.refusal()):
            refused[listener] = code
        else:
            marks[listener] = mark
    return marks, refused


_watches: "WeakKeyDictionary[asyncio.AbstractEventLoop, RightsWatch]" = WeakKeyDictionary()


def rights_watch() -> RightsWatch:
    """The watch of this process (of its event loop)."""
    return _watches.setdefault(asyncio.get_running_loop(), RightsWatch())
