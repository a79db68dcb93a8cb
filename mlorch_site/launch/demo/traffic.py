"""Replay the data set's real rows against the gateway at a steady rate, with stable unit ids."""

import asyncio
import itertools
import json
import random
from collections.abc import Iterator

import aiohttp
import structlog
from sklearn.datasets import load_breast_cancer

log = structlog.get_logger(__name__)

RATES_PER_S = {"production": 30.0, "staging": 15.0}
UNITS = 5_000
CALL_TIMEOUT_S = 15
IN_FLIGHT_MAX = 200
REPORT_EVERY_S = 30


def bodies() -> list[bytes]:
    """One `dataframe_split` body per row of the bundled data set."""
    frame = load_breast_cancer(as_frame=True).data
    columns = list(frame.columns)
    return [
        json.dumps({"dataframe_split": {"columns": columns, "data": [row]}}).encode()
        for row in frame.to_numpy().tolist()
    ]


def units(seed: int) -> Iterator[str]:
    """Yield unit ids for ever: every unit once per round, in a new order each round."""
    order = random.Random(seed)  # noqa: S311 - traffic, not secrets
    names = [f"patient-{number:04d}" for number in range(UNITS)]
    while True:
        order.shuffle(names)
        yield from names


class Traffic:
    """Sends requests for one endpoint on a fixed schedule, whatever the answers are (open loop)."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str, rate_per_s: float) -> None:
        self._session = session
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._period_s = 1.0 / rate_per_s
        self._open = 0
        self.answers: dict[int, int] = {}

    async def run(self) -> None:
        """Send until cancelled."""
        rows = itertools.cycle(bodies())
        names = units(seed=11)
        loop = asyncio.get_running_loop()
        due = loop.time()
        pending: set[asyncio.Task[None]] = set()
        while True:
            if self._open < IN_FLIGHT_MAX:
                task = asyncio.create_task(self._send(next(rows), next(names)))
                pending.add(task)
                task.add_done_callback(pending.discard)
            due = max(due + self._period_s, loop.time() - 1)
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _send(self, body: bytes, unit: str) -> None:
        self._open += 1
        status = 0
        try:
            timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
            headers = {**self._headers, "X-Mlorch-Unit": unit}
            async with self._session.post(self._url, data=body, headers=headers, timeout=timeout) as response:
                await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError):
            status = 0
        finally:
            self._open -= 1
            self.answers[status] = self.answers.get(status, 0) + 1

    async def report(self, name: str) -> None:
        """Log the answers by status now and then; 0 stands for no answer."""
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            log.info("demo.traffic", endpoint=name, answers=dict(sorted(self.answers.items())))
