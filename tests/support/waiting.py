"""Waiting in tests: for a condition and never for a time, with one deadline that is reached only when something
hangs.
"""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

# Far longer than anything takes on a slow machine: a test that waits this long has found a fault.
PATIENCE_S = 60.0
STRAIN_MAX = 4.0
LOOK_EVERY_S = 0.01
ASK_EVERY_S = 0.1  # another process, which has to answer each time


def strain() -> float:
    """How much longer everything may take than on a quiet machine: processes that want to run per processor, at least
    1.
    """
    return min(STRAIN_MAX, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


def patience() -> float:
    """The seconds to give to what has a timeout of its own: a subprocess, a join, a socket."""
    return PATIENCE_S * strain()


class _Wait:
    """The looks at one condition. `answer` is the last one."""

    def __init__(
        self, condition: Callable[[], Any], what: str, within_s: float, seen: Callable[[], Any] | None
    ) -> None:
        self._condition, self._what, self._within_s, self._seen = condition, what, within_s, seen
        self._began = time.monotonic()
        self.answer: Any = None

    def is_over(self) -> bool:
        """Look once. Raises AssertionError when it has taken too long."""
        waited = time.monotonic() - self._began
        self.answer = self._condition()
        if not self.answer and waited > self._within_s * strain():
            last = self._seen() if self._seen else self.answer
            raise AssertionError(f"waited {waited:.0f} s in vain until {self._what}; last seen: {last!r}")
        return bool(self.answer)


def until(
    condition: Callable[[], Any],
    what: str,
    *,
    within_s: float = PATIENCE_S,
    seen: Callable[[], Any] | None = None,
    every_s: float = ASK_EVERY_S,
) -> Any:
    """The first truthy answer of `condition`.

    Raises AssertionError with `what` and what was `seen` last when there is none.
    """
    wait = _Wait(condition, what, within_s, seen)
    while not wait.is_over():
        time.sleep(every_s)
    return wait.answer


async def auntil(
    condition: Callable[[], Any],
    what: str,
    *,
    within_s: float = PATIENCE_S,
    seen: Callable[[], Any] | None = None,
    every_s: float = LOOK_EVERY_S,
) -> Any:
    """Do as `until` does while the loop runs on.

    With `every_s` 0 each turn of the loop is looked at: for what is over at once.
    """
    wait = _Wait(condition, what, within_s, seen)
    while not wait.is_over():
        await asyncio.sleep(every_s)
    return wait.answer
