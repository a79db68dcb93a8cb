"""Traces of requests, chosen when they have ended: all that failed or were slow, those whose client asked for it, and a
share of the others.

The way of a request pays one question for it: spans are made of what is known at its end, outside of it, and posted as
OTLP (opentelemetry-proto, over HTTP with protobuf). What finds no room, or no receiver, is counted.
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable

import aiohttp
import structlog

from dataplane.gateway.config import BACKOFF_FIRST_S, BACKOFF_MAX_S, TraceConfig
from dataplane.gateway.site.traced_request import FAILED, TracedRequest, parent_of

log = structlog.get_logger(__name__)

WAITING_MAX = 2000
SENT_AT_ONCE = 200
SEND_EVERY_S = 1.0
SEND_TIMEOUT_S = 5.0
LAST_SEND_S = 2.0
PROTOBUF = "application/x-protobuf"
TRIED_AGAIN = frozenset({429, 502, 503, 504})  # the receiver is busy: the OTLP specification's list


class Traces:
    """The traces of one gateway process."""

    def __init__(self, config: TraceConfig, gateway: str, draw: Callable[[], float] = random.random) -> None:
        self.kept: Counter[str] = Counter()  # by reason
        self.lost: Counter[str] = Counter()  # by why
        self.sent = 0
        self._config = config
        self._gateway = gateway
        self._draw = draw
        self._waiting: deque[TracedRequest] = deque()
        self._backoff_s = 0.0

    def wants(self, seconds: float, outcome: str, traceparent: bytes) -> str:
        """Why a request that has ended is kept: `failed`, `slow`, `asked` or `drawn`; empty when it is not.

        A client that says that it does not sample gets no trace of what went well.
        """
        if outcome in FAILED:
            return "failed"
        if seconds >= self._config.slow_s:
            return "slow"
        if traceparent and (parent := parent_of(traceparent)) is not None:
            return "asked" if parent.is_sampled else ""
        return "drawn" if self._draw() < self._config.share else ""

    def offer(self, request: TracedRequest) -> None:
        """Take a request, or count it as lost when there is no room."""
        if len(self._waiting) >= WAITING_MAX:
            self.lost["no_room"] += 1
            return
        self.kept[request.reason] += 1
        self._waiting.append(request)

    async def send_forever(self, session: aiohttp.ClientSession) -> None:
        """Send what was taken, for ever."""
        while True:
            await asyncio.sleep(SEND_EVERY_S + self._backoff_s)
            await self.send(session)

    async def send(self, session: aiohttp.ClientSession) -> None:
        """Send what waits, until it is all sent or the receiver does not take it."""
        while self._waiting:
            taken = [self._waiting.popleft() for _ in range(min(SENT_AT_ONCE, len(self._waiting)))]
            if not await self._post(session, taken):
                return

    async def send_last(self, session: aiohttp.ClientSession) -> None:
        """Send what waits at the end of the process; what cannot be sent in a moment is lost."""
        try:
            async with asyncio.timeout(LAST_SEND_S):
                await self.send(session)
        except TimeoutError:
            pass
        self._lose("not_sent", len(self._waiting))

    async def _post(self, session: aiohttp.ClientSession, taken: list[TracedRequest]) -> bool:
        """Post spans; return whether to go on. What a busy or absent receiver did not take waits for the next time."""
        # Here and not above: a gateway that sends no traces does not load the library.
        from dataplane.gateway.site import otlp_spans

        body = await asyncio.to_thread(otlp_spans.request_of, taken, self._gateway)
        timeout = aiohttp.ClientTimeout(total=SEND_TIMEOUT_S)
        headers = {"Content-Type": PROTOBUF, **self._config.headers}
        try:
            async with session.post(self._config.url, data=body, headers=headers, timeout=timeout) as answer:
                if answer.status in TRIED_AGAIN:
                    return self._wait_longer(taken, f"status {answer.status}")
                refused = otlp_spans.refused_of(await answer.read()) if answer.status == 200 else 0
                if answer.status >= 300:
                    log.warning("traces.refused", status=answer.status)
                    self._lose("refused", len(taken))
                    return True
        except (aiohttp.ClientError, TimeoutError) as error:
            return self._wait_longer(taken, str(error) or type(error).__name__)
        except asyncio.CancelledError:
            self._waiting.extendleft(reversed(taken))
            raise
        self._backoff_s = 0.0
        self._lose("refused", min(refused, len(taken)))
        self.sent += len(taken) - min(refused, len(taken))
        return True

    def _wait_longer(self, taken: list[TracedRequest], why: str) -> bool:
        """Put back what was not taken, the oldest of it only as far as there is room; the next try comes later."""
        room = max(0, WAITING_MAX - len(self._waiting))
        kept = taken[len(taken) - min(room, len(taken)) :]
        self._waiting.extendleft(reversed(kept))
        self._lose("not_sent", len(taken) - len(kept))
        if not self._backoff_s:
            log.warning("traces.not_sent", why=why)
        self._backoff_s = min(BACKOFF_MAX_S, max(BACKOFF_FIRST_S, 2 * self._backoff_s))
        return False

    def _lose(self, why: str, count: int) -> None:
        if count:
            self.lost[why] += count
