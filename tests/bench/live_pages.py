"""What 500 open pages that nobody touches cost the web process, and the same with websockets blocked.

Each page is a websocket and the requests that `static/js/live.js` makes to stay true: with the intervals that stand
there, at times of its own. Half of them are lists, half pages of one thing.
"""

import asyncio
import json
import random
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.bench.idle import spent_s
from tests.bench.report import Row, hand_over
from tests.bench.viewers import session_of
from tests.e2e.client import Rest
from tests.support.product import ROOT, Product, prepared

PAGES = 500
SETTLE_S = 20.0
MEASURED_S = 60.0
KEPT_S = 3.0  # an idle connection; the server closes one after 5 s
ENDPOINT = "cancer"
CONSTANT = re.compile(r"\b([A-Z_]+)_MS = (\d+)")
JITTER = re.compile(r"\bJITTER = ([\d.]+)")


def constants() -> dict[str, float]:
    """The intervals of the scripts in seconds, by their names there, and how much they vary."""
    text = "".join((ROOT / "static" / "js" / name).read_text() for name in ("live.js", "socket.js"))
    jitter = float(JITTER.findall(text)[0])
    return {name: int(value) / 1000 for name, value in CONSTANT.findall(text)} | {"jitter": jitter}


@dataclass(frozen=True)
class Kind:
    """A page: its address, its topics, and whether it shows figures that no event tells."""

    path: str
    topics: str
    has_figures: bool = False


def kinds(release: str) -> list[Kind]:
    """The pages that are open, each as often as the others."""
    return [
        Kind("/", "releases,approvals,registry,endpoints"),
        Kind("/releases/", "releases"),
        Kind("/approvals/", "approvals"),
        Kind("/endpoints/", "releases,endpoints"),
        Kind(f"/releases/{release}/", f"release.{release}"),
        Kind(f"/endpoints/production/{ENDPOINT}/", f"endpoint.production.{ENDPOINT}", has_figures=True),
    ]


class Page:
    """One open page; `asked` counts its requests, by what they were for."""

    def __init__(self, web: str, kind: Kind, cookie: str, session: aiohttp.ClientSession) -> None:
        self._web, self._kind, self._session = web, kind, session
        self._headers = {"Cookie": cookie, "Origin": web}
        self._times = constants()
        self._since = 0
        self.asked = {"parts": 0, "polls": 0, "pings": 0}

    async def keep_true(self) -> None:
        """Fetch the parts as often as the timer of `live.js` does."""
        whole_s = self._times["TRUTH"] if self._kind.has_figures else self._times["WHOLE"]
        await asyncio.sleep(random.uniform(0, whole_s))
        while True:
            async with self._session.get(
                self._web + self._kind.path, headers=self._headers | {"HX-Request": "true"}
            ) as answer:
                await answer.read()
                assert answer.status == 200, answer.status
            self.asked["parts"] += 1
            await asyncio.sleep(whole_s * self._jitter())

    def _jitter(self) -> float:
        share = self._times["jitter"]
        return 1 + random.uniform(-share, share)

    async def listen(self) -> None:
        """Hear news over a websocket, which is opened again when it breaks, and ask whether anything was missed."""
        url = f"{self._web.replace('http', 'ws', 1)}/ws/live/?topics={self._kind.topics}&since=0"
        while True:
            await self._listen_once(url)

    async def _listen_once(self, url: str) -> None:
        async with self._session.ws_connect(url, headers=self._headers) as socket:
            pinging = asyncio.create_task(self._ping(socket))
            try:
                async for message in socket:
                    json.loads(message.data)
            finally:
                pinging.cancel()

    async def _ping(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await asyncio.sleep(self._times["HEARTBEAT"] * self._jitter())
            await socket.send_str("{}")
            self.asked["pings"] += 1

    async def poll(self) -> None:
        """Ask for news where websockets are blocked."""
        while True:
            url = f"{self._web}/live/events.json?topics={self._kind.topics}&since={self._since}"
            async with self._session.get(url, headers=self._headers) as answer:
                messages = (await answer.json())["messages"]
            self._since = max([self._since, *(message["sequence"] for message in messages)])
            self.asked["polls"] += 1
            await asyncio.sleep(self._times["POLL"] * self._jitter())


async def measure(
    product: Product, cookies: list[str], release: str, *, over_socket: bool
) -> tuple[float, dict[str, float]]:
    """Percent of a core that the web process takes, and requests a second of all pages."""
    pid, tasks = product.process_named("web")["pid"], []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_S)) as session:
        pages = [
            Page(product.web, kind, cookies[number % len(cookies)], session)
            for number, kind in zip(range(PAGES), _again_and_again(kinds(release)), strict=False)
        ]
        for page in pages:
            tasks += [asyncio.create_task(page.keep_true())]
            tasks += [asyncio.create_task(page.listen() if over_socket else page.poll())]
            await asyncio.sleep(0.02)
        await asyncio.sleep(SETTLE_S)
        before, spent, began = _sum(pages), spent_s(pid), time.monotonic()
        await asyncio.sleep(MEASURED_S)
        took = time.monotonic() - began
        pct = 100 * (spent_s(pid) - spent) / took
        rates = {name: (count - before[name]) / took for name, count in _sum(pages).items()}
        failed = [task for task in tasks if task.done()]
        assert not failed, failed[0]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return pct, rates


def _again_and_again(found: list[Kind]) -> Iterator[Kind]:
    while True:
        yield from found


def _sum(pages: list[Page]) -> dict[str, int]:
    return {name: sum(page.asked[name] for page in pages) for name in ("parts", "polls", "pings")}


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="pages-", dir="/tmp") as folder,
        prepared(Path(folder), "--no-demo") as product,
    ):
        rest = Rest(product)
        rest.until_mirrored()
        release = rest.release(1, {"kind": "immediate"})
        rest.reach(release, {"succeeded"}, 90)
        cookies = [session_of(product, person["username"], person["password"]) for person in rest.people.values()]
        rows = [Row("open pages", PAGES, "")]
        for way, over_socket in (("websockets", True), ("websockets blocked", False)):
            pct, rates = asyncio.run(measure(product, cookies, release, over_socket=over_socket))
            rows.append(Row(f"web process, {way}", pct, "%"))
            rows += [Row(f"{name} asked for, {way}", rate, "/s") for name, rate in rates.items() if rate]
    hand_over(rows)


if __name__ == "__main__":
    main()
