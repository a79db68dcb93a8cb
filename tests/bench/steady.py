"""Open-loop load: requests leave when their time has come, whether or not earlier ones were answered.

Every answer is kept.
"""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import aiohttp

from tests.bench.models.register import COLUMNS

TIMEOUT_S = 30
STOP_WITHIN_S = 60
LATE_S = 0.1  # a generator that is this late did not offer the rate it claims


class Shape(NamedTuple):
    """What one request is: its endpoint, the row's work and wait in ms, whether the answer is streamed, and whether it
    has a connection of its own.
    """

    endpoint: str
    work_ms: float = 0.0
    wait_ms: float = 0.0
    streams: bool = False
    is_fresh: bool = False


class Seen(NamedTuple):
    """One answer.

    Times are Unix time; `status` 0 stands for a lost connection or a broken answer, `said` tells more.
    """

    shape: Shape
    due: float
    sent: float
    ended: float
    status: int
    version: str
    said: str = ""


class Steady:
    """A load of `rate_per_s` on a gateway, each request as `shape_of(number)` says, from a thread of its own, each with
    a unit of its own.
    """

    def __init__(
        self, gateway: str, key: str, environment: str, rate_per_s: float, shape_of: Callable[[int], Shape]
    ) -> None:
        self._address = f"{gateway}/{environment}/endpoints"
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._period_s = 1 / rate_per_s
        self._shape_of = shape_of
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self.answers: list[Seen] = []
        self.sent = 0

    def __enter__(self) -> "Steady":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(STOP_WITHIN_S)

    @property
    def late_share(self) -> float:
        """The share of requests that the generator itself sent late."""
        return sum(row.sent - row.due > LATE_S for row in self.answers) / max(1, len(self.answers))

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        kept, fresh = aiohttp.TCPConnector(limit=0), aiohttp.TCPConnector(limit=0, force_close=True)
        async with (
            aiohttp.ClientSession(connector=kept, timeout=timeout) as pooled,
            aiohttp.ClientSession(connector=fresh, timeout=timeout) as single,
        ):
            began, clock = time.time(), time.monotonic()
            while not self._ended.is_set():
                passed = time.monotonic() - clock
                while self.sent * self._period_s <= passed:
                    session = single if self._shape_of(self.sent).is_fresh else pooled
                    self._launch(session, began + self.sent * self._period_s)
                await asyncio.sleep(min(self._period_s, 0.002))
            await asyncio.gather(*self._tasks)

    def _launch(self, session: aiohttp.ClientSession, due: float) -> None:
        task = asyncio.create_task(self._send(session, self.sent, due))
        self.sent += 1
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, session: aiohttp.ClientSession, number: int, due: float) -> None:
        shape = self._shape_of(number)
        body = {"dataframe_split": {"columns": COLUMNS, "data": [[float(number), shape.work_ms, shape.wait_ms]]}}
        data = json.dumps(body | ({"stream": True} if shape.streams else {})).encode()
        headers = {**self._headers, "X-Mlorch-Unit": f"unit-{number}"}
        sent = time.time()
        status, version, said = 0, "", ""
        try:
            async with session.post(
                f"{self._address}/{shape.endpoint}/invocations", data=data, headers=headers
            ) as answer:
                content = await answer.read()
                status, version = answer.status, answer.headers.get("X-Mlorch-Version", "")
                if status != 200 or not _is_right(content, shape, number):
                    status, said = (0 if status == 200 else status), content[:200].decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError) as error:
            said = f"{type(error).__name__}: {error}"
        self.answers.append(Seen(shape, due, sent, time.time(), status, version, said))


def _is_right(content: bytes, shape: Shape, number: int) -> bool:
    """Whether the answer is that of this request's row; a stream must have come to its end."""
    if not shape.streams:
        return bool(json.loads(content)["predictions"] == [float(number)])
    return content.startswith(b"data: ") and content.endswith(b"data: [DONE]\n\n") and f"{number}.0".encode() in content
