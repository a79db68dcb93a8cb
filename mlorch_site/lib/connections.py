"""Database connections of loops that serve no requests, after which Django would close them."""

import time
from collections.abc import Callable
from typing import TypeVar

from django.db import close_old_connections

KEPT_S = 60.0

T = TypeVar("T")


class Kept:
    """Keeps the thread's connections from call to call, for a while: one that broke, or whose database was replaced, is
    left.
    """

    def __init__(self) -> None:
        self._since = time.monotonic()

    def call(self, function: Callable[..., T], *arguments: object) -> T:
        """What the function reads."""
        try:
            answer = function(*arguments)
        except Exception:
            self._leave()
            raise
        if time.monotonic() - self._since > KEPT_S:
            self._leave()
        return answer

    def _leave(self) -> None:
        close_old_connections()
        self._since = time.monotonic()
