"""How long it takes until 500 browsers are told of a committed change, all on one web process of the whole product.

Each viewer is a websocket on an endpoint's topic, as its page opens it; the change is a new serving config by REST. An
event carries the time at which its transaction wrote it, so what is measured holds the rest of the transaction, the
commit, the nudge, the read and the message.
"""

import asyncio
import http.cookiejar
import json
import sqlite3
import tempfile
import time
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles

import websockets

from tests.bench.report import Row, hand_over
from tests.e2e.client import Rest
from tests.support.product import Product, prepared

VIEWERS = 500
CHANGES = 60
PERIOD_S = 0.5
SETTLE_S = 5.0
BUDGET_P50_MS = 100
ENDPOINT = "cancer"
TOPIC = f"endpoint.production.{ENDPOINT}"


def session_of(product: Product, username: str, password: str) -> str:
    """Sign a person in as a browser does; return the cookies for a request."""
    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    url = f"{product.web}/sign-in/"
    browser.open(url).read()
    token = next(cookie.value for cookie in jar if cookie.name == "mlorch_csrf")
    form = {"username": username, "password": password, "csrfmiddlewaretoken": token}
    browser.open(urllib.request.Request(url, urllib.parse.urlencode(form).encode(), {"Referer": url})).read()
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)


class Audience:
    """Open websockets; `told` is (sequence, Unix time) of every message to every viewer."""

    def __init__(self, product: Product, cookies: list[str]) -> None:
        self._url = f"{product.web.replace('http', 'ws', 1)}/ws/live/?topics={TOPIC}&since=0"
        self._origin = product.web
        self._cookies = cookies
        self.ready = 0
        self.told: list[tuple[int, float]] = []

    async def watch(self, number: int) -> None:
        """Follow the topic as one viewer, until cancelled."""
        headers = {"Cookie": self._cookies[number % len(self._cookies)]}
        async with websockets.connect(
            self._url, additional_headers=headers, origin=websockets.Origin(self._origin), open_timeout=60
        ) as socket:
            async for text in socket:
                now, message = time.time(), json.loads(text)
                if message["type"] == "hello":
                    self.ready += 1
                elif message["type"] == "event":
                    self.told.append((message["sequence"], now))


def written_at(product: Product) -> dict[int, float]:
    """Sequence → Unix time at which the event was written."""
    (path,) = product.data_dir.glob("*.sqlite3")
    with sqlite3.connect(path) as database:
        rows = database.execute("select sequence, at from live_event where topic = ?", [TOPIC]).fetchall()
    return {number: datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp() for number, at in rows}


async def measure(product: Product, rest: Rest) -> Audience:
    """Make changes while all viewers watch."""
    cookies = [session_of(product, person["username"], person["password"]) for person in rest.people.values()]
    audience = Audience(product, cookies)
    watching = []
    for number in range(VIEWERS):
        watching.append(asyncio.create_task(audience.watch(number)))
        await asyncio.sleep(0.01)
    while audience.ready < VIEWERS:
        await asyncio.sleep(0.1)
    await asyncio.sleep(SETTLE_S)
    for number in range(CHANGES):
        change = {"keep_previous_s": 100 + number, "reason": "bench"}
        path = f"/endpoints/production/{ENDPOINT}/serving-config"
        answer = await asyncio.to_thread(rest.call, "manager", "PATCH", path, change)
        assert answer.status == 200, answer
        await asyncio.sleep(PERIOD_S)
    await asyncio.sleep(SETTLE_S)
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    return audience


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="viewers-", dir="/tmp") as folder,
        prepared(Path(folder), "--no-demo") as product,
    ):
        rest = Rest(product)
        rest.until_mirrored()
        release = rest.release(1, {"kind": "immediate"})
        rest.reach(release, {"succeeded"}, 90)
        audience = asyncio.run(measure(product, rest))
        written = written_at(product)
    delays_ms = [1000 * (at - written[sequence]) for sequence, at in audience.told]
    changes = {sequence for sequence, _ in audience.told}
    cuts = quantiles(delays_ms, n=100)
    hand_over(
        [
            Row("viewers", VIEWERS, ""),
            Row("changes", len(changes), "", None, CHANGES),
            Row("viewers not told of a change", len(changes) * VIEWERS - len(delays_ms), "", 0),
            Row("change to viewer told, p50", median(delays_ms), "ms", BUDGET_P50_MS),
            Row("change to viewer told, p95", cuts[94], "ms"),
            Row("change to viewer told, p99", cuts[98], "ms"),
        ]
    )


if __name__ == "__main__":
    main()
