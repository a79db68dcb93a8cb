"""Joined requests asked again alone, while the worker is idle: what was permitted is looked at for as long as it
serves.
"""

import random
import time
from collections import deque
from collections.abc import Callable

from dataplane.wire.frames import RequestHeader
from dataplane.worker import equivalence
from dataplane.worker.answers import Answer

SAMPLES_MAX = 16
SAMPLE_MAX_BYTES = 256 * 1024
EVERY_S = 1.0
# Of the worker's time, at most: a slow model is looked at more seldom.
SHARE_MAX = 0.02
DIFFERENCE = "a request was answered otherwise together with others than alone"


class Replays:
    """A bounded sample of joined requests with their answers."""

    def __init__(self, alone: "Callable[[RequestHeader, bytes], Answer]") -> None:
        self._alone = alone
        self._samples: deque[tuple[RequestHeader, bytes, Answer]] = deque()
        self._not_before = 0.0
        self._scale = 0.0

    def offer(self, header: RequestHeader, bodies: "list[bytes]", answers: "list[Answer]") -> None:
        """Take one of the requests that were joined with its answer, when there is room for it.

        Any of them: what the first one is answered says nothing of a model that looks back.
        """
        if len(self._samples) >= SAMPLES_MAX:
            return
        place = random.randrange(len(bodies))  # noqa: S311 - nothing is guessed by it
        body, answer = bodies[place], answers[place]
        if len(body) + len(answer.body) <= SAMPLE_MAX_BYTES and answer.header_length is None:
            self._samples.append((header, body, answer))

    def check(self) -> str:
        """Ask one sampled request again alone, when it is time for it; what is wrong with its joined answer, empty
        when nothing is.
        """
        return self.check_now() if time.monotonic() >= self._not_before else ""

    def check_now(self) -> str:
        """The same without waiting for its time."""
        began = time.monotonic()
        if not self._samples:
            return ""
        header, body, answer = self._samples.popleft()
        wanted = self._alone(header, body)
        took = time.monotonic() - began
        self._not_before = began + max(EVERY_S, took / SHARE_MAX)
        self._scale = max(self._scale, equivalence.scale_of(wanted))
        return "" if equivalence.is_close(answer, wanted, self._scale) else DIFFERENCE
