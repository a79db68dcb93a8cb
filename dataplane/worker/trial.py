"""A declaration that nothing could test: real requests are answered alone until enough of them were asked together too.

A model without a signature and an example, or one that refuses every example, gives the veto nothing to ask. What its
clients ask is kept, each with the answer it got alone, and asked together while the worker is idle. Nobody is answered
with what comes of that.
"""

import hashlib
import time
from collections.abc import Iterator
from typing import Any

import pandas as pd

from dataplane.worker import replays, veto
from dataplane.worker.answers import Answer
from dataplane.worker.batching import Frames, compatible

REQUESTS = 24  # of one form and all different
KEPT_MAX = 4 * REQUESTS  # of all forms
LOOKED_AT_MAX = 10_000  # then clients ask in forms that cannot be joined


class Trial:
    """Requests that were answered alone, and what came of asking them together."""

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self._forms: dict[Any, list[tuple[pd.DataFrame, Answer]]] = {}
        self._seen: set[bytes] = set()
        self._kept = self._looked_at = 0
        self._tries: Iterator[str] | None = None
        self._not_before = 0.0

    def offer(self, body: bytes, answer: Answer) -> None:
        """Take a request that was answered alone, unless it is known, or there is no room or no need for it."""
        is_large = len(body) + len(answer.body) > replays.SAMPLE_MAX_BYTES
        if self._tries is not None or self._kept >= KEPT_MAX or self._looked_at >= LOOKED_AT_MAX or is_large:
            return
        self._looked_at += 1
        digest = hashlib.sha256(body).digest()
        if answer.status != 200 or answer.header_length is not None or digest in self._seen:
            return
        frame = self.frames.parse(body)
        if frame is None:
            return
        self._seen.add(digest)
        self._kept += 1
        form = self._forms.setdefault((tuple(frame.columns), tuple(frame.dtypes)), [])
        form.append((frame, answer))
        if len(form) == REQUESTS and any(len(kin) > 1 for kin in compatible([(0, found) for found, _ in form])):
            self._tries = veto.tries(self.frames, form, "request")

    def look(self) -> "str | None":
        """Ask some requests together when it is time for it: what speaks against joining, empty when all of them were
        answered as alone, None while that is not known.
        """
        if self._tries is None or time.monotonic() < self._not_before:
            return None
        began = time.monotonic()
        found = next(self._tries, None)
        self._not_before = began + max(replays.EVERY_S, (time.monotonic() - began) / replays.SHARE_MAX)
        return "" if found is None else found or None
