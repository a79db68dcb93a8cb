"""A gateway is replaced while it serves: real gateway processes under the supervisor, with a site and workers of this
test.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from dataplane.wire import shapes
from dataplane.wire.frames import AnswerHeader, AnswerRow, RequestHeader, encode_frame, read_frame
from dataplane.wire.route_table import RouteTable
from mlorch_site.launch.supervisor.__main__ import Up
from mlorch_site.launch.supervisor.logs import LogBook
from mlorch_site.launch.supervisor.options import Options
from mlorch_site.launch.supervisor.process import Spec
from mlorch_site.launch.supervisor.process_specs import Plan
from tests.dataplane.gateway.conftest import KEY, table
from tests.launch.test_supervisor_up import FakePlan
from tests.support.folders import short_folder
from tests.support.pace import aaffordable_per_s
from tests.support.ports import free_ports
from tests.support.waiting import auntil, patience

pytestmark = pytest.mark.slow

SECRETS = {name: name for name in ("django", "control", "mlflow_webhook", "mlflow_encryption")}
# At most; less when the machine cannot give it. What is open at once stays below what the endpoints take.
RATE_PER_S = 200
OPEN_MAX = 128
CLIENTS = 8
RELOADS = 4
REQUESTS_BETWEEN = 50
SLOW_S, STREAM_S, PARTS = 0.4, 0.8, 4
POLL_MAX_S = 1.0  # as a site would hold a poll open
TICK_S = 0.002


async def work(opened: asyncio.Event, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as a worker does: at once, a body `slow` after a while, a streamed request in parts; one after the other,
    streams apart.

    A stream that is `held` goes on when `opened` says so.
    """
    streams: set[asyncio.Task[None]] = set()
    try:
        while True:
            header, body = await read_frame(reader, RequestHeader)
            if header.op == "hello":
                writer.write(encode_frame(AnswerHeader(header.id), b'{"max_batch": 1}'))
            elif header.op == "stream":
                task = asyncio.create_task(_stream(writer, header.id, opened if b"held" in body else None))
                streams.add(task)
                task.add_done_callback(streams.discard)
            elif header.op == "invocations":
                await asyncio.sleep(SLOW_S if body == b"slow" else 0)
                answers = [AnswerRow(200, len(body), "application/json")]
                writer.write(encode_frame(AnswerHeader(header.id, answers=answers), body))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _stream(writer: asyncio.StreamWriter, number: int, opened: asyncio.Event | None) -> None:
    told = AnswerHeader(number, content_type="text/event-stream")
    for part in range(PARTS):
        writer.write(encode_frame(msgspec.structs.replace(told, more=True), b"data: %d\n\n" % part))
        await (opened.wait() if opened else asyncio.sleep(STREAM_S / PARTS))
    writer.write(encode_frame(told))


@dataclass
class Site:
    """What gateways are told, and what they said."""

    document: dict[str, Any]
    polls: list[dict[str, Any]] = field(default_factory=list)
    windows: Counter[str] = field(default_factory=Counter)
    seen: set[tuple[str, int]] = field(default_factory=set)

    async def poll(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.polls.append(body)
        revision = self.document["revision"]
        is_news = body["have"].get("production") != revision
        if not is_news:
            await asyncio.sleep(min(body["wait_s"], POLL_MAX_S))
        return web.json_response({"tables": [self.document] if is_news else [], "environments": ["production"]})

    def obeying(self) -> int:
        """How many processes have said that they obey the table; before, they know nobody's key."""
        polls = self.last_polls().values()
        return sum(poll["have"].get("production") == self.document["revision"] for poll in polls)

    def last_polls(self) -> dict[str, dict[str, Any]]:
        return {poll["boot"]: poll for poll in self.polls}

    async def push(self, request: web.Request) -> web.Response:
        body = await request.json()
        place = (body["boot"], body["sequence"])
        if place not in self.seen:
            self.seen.add(place)
            for window in body["windows"]:
                self.windows[window["endpoint"]] += window["requests"]
        return web.json_response({"accepted": body["sequence"]})


class GatewayPlan(FakePlan):
    """Shell commands everywhere, but real gateways."""

    def __init__(self, folder: Path, options: Options) -> None:
        super().__init__(folder)
        self._gateways = Plan(options, SECRETS).gateways()

    def gateways(self) -> list[Spec]:
        return self._gateways


@dataclass
class World:
    """The supervisor in this process with real gateways, and everything around them."""

    options: Options
    site: Site
    plan: GatewayPlan
    log: Path
    opened: asyncio.Event

    def said(self, text: str) -> int:
        return (self.log / "up.log").read_text().count(text)

    @property
    def told(self) -> int:
        """How often it was said what came of replacing a process."""
        return self.said("was replaced") + self.said("was not replaced")

    def lines(self) -> list[str]:
        return (self.log / "up.log").read_text().splitlines()[-5:]

    async def reload(self) -> None:
        """Replace the gateways and return when that is done."""
        count = self.told + self.options.gateway_processes
        os.kill(os.getpid(), signal.SIGUSR2)
        await auntil(lambda: self.told >= count, "the gateways are replaced", seen=self.lines)

    def url(self, endpoint: str = "fast") -> str:
        return f"{self.options.gateway_url}/production/endpoints/{endpoint}/invocations"


@pytest.fixture(params=[1, 2], ids=["one process", "two processes"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    with short_folder() as folder:
        web_port, gateway_port = free_ports(2)
        options = Options(folder / "data", web_port, gateway_port, 5000, False, 0, request.param)
        document = table(sockets={"1": str(folder / "1.sock"), "2": str(folder / "2.sock")})
        entry = document["endpoints"].pop("e") | {"max_in_flight": 256, "max_batch_rows": 1}
        arm = entry["arms"][1]
        for endpoint, version in (("fast", "1"), ("slow", "2")):
            socket_path = f"unix:{folder}/{version}.sock"
            replicas = [
                {"id": f"r-{endpoint}-{number}", "address": socket_path}
                for number in range(16 if endpoint == "slow" else 1)
            ]
            document["endpoints"][endpoint] = {**entry, "arms": [{**arm, "replicas": replicas}]}
        shapes.convert(RouteTable, document)
        opened = asyncio.Event()
        answer = partial(work, opened)
        workers = [await asyncio.start_unix_server(answer, path=str(folder / f"{version}.sock")) for version in "12"]
        site = Site(document)
        application = web.Application()
        application.router.add_post("/internal/v1/gateways/{gateway}/poll", site.poll)
        application.router.add_post("/internal/v1/gateways/{gateway}/windows", site.push)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", web_port).start()
        plan = GatewayPlan(tmp_path, options)
        up = Up(options, plan, LogBook(folder / "logs"))  # type: ignore[arg-type]
        task = asyncio.create_task(up.run())
        world = World(options, site, plan, folder / "logs", opened)
        await auntil(
            lambda: task.done() or ((world.log / "up.log").exists() and world.said("mlorch is up")), "mlorch is up"
        )
        await auntil(lambda: site.obeying() == request.param, "every process obeys the table", seen=site.last_polls)
        yield world
        opened.set()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, patience())
        for worker in workers:
            worker.close()
        await runner.cleanup()


class Load:
    """Open-loop requests at a rate.

    Kinds: `pooled` and `slow` over kept connections, `fresh` on one of its own, `stream`. Nothing is retried.

    The first ones find out the rate: what the machine gives to `CLIENTS` that ask one after the other.
    """

    KINDS = ("pooled", "fresh", "pooled", "slow", "pooled", "fresh", "pooled", "stream", "pooled", "pooled")

    def __init__(self, world: World) -> None:
        self._world = world
        self._ended = asyncio.Event()
        self.results: list[tuple[str, str]] = []
        self.open = 0

    async def run(self) -> None:
        pooled = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        fresh = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))
        tasks: set[asyncio.Task[None]] = set()
        async with pooled, fresh:

            async def ask(number: int) -> None:
                kind = self.KINDS[number % len(self.KINDS)]
                await self._send(fresh if kind == "fresh" else pooled, kind)

            rate_per_s = await aaffordable_per_s(ask, CLIENTS, RATE_PER_S)
            began, number = time.monotonic(), 0
            while not self._ended.is_set():
                while number / rate_per_s <= time.monotonic() - began and len(tasks) < OPEN_MAX:
                    task = asyncio.create_task(ask(number))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    number += 1
                await asyncio.sleep(TICK_S)
            await asyncio.gather(*tasks)

    async def _send(self, session: aiohttp.ClientSession, kind: str) -> None:
        body = {"slow": b"slow", "stream": b'{"stream": true}'}.get(kind, b"{}")
        url = self._world.url("slow" if kind in ("slow", "stream") else "fast")
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        self.open += 1
        try:
            async with session.post(url, data=body, headers=headers) as answer:
                content = await answer.read()
            right = content.count(b"data: ") == PARTS if kind == "stream" else content == body
            said = "ok" if answer.status == 200 and right else f"{answer.status} {content[:80]!r}"
        except aiohttp.ClientError as error:
            said = repr(error)
        self.open -= 1
        self.results.append((kind, said))

    async def go_on(self) -> None:
        """Return once `REQUESTS_BETWEEN` more are answered."""
        wanted = len(self.results) + REQUESTS_BETWEEN
        await auntil(lambda: len(self.results) >= wanted, f"{wanted} are answered", seen=lambda: Counter(self.results))

    def end(self) -> None:
        self._ended.set()


async def test_reload__under_load__not_one_request_fails_and_every_one_is_counted(world: World) -> None:
    load = Load(world)
    running = asyncio.create_task(load.run())
    await load.go_on()
    for _ in range(RELOADS):
        await auntil(lambda: load.open > 0, "a request is open when the reload begins")
        await world.reload()
        await load.go_on()
    load.end()
    await running
    counts = Counter(load.results)

    assert {said for _, said in counts} == {"ok"}, counts
    assert {kind for kind, _ in counts} == set(Load.KINDS)
    counted = world.site.windows
    await auntil(lambda: sum(counted.values()) == len(load.results), "every one is counted", seen=lambda: counted)


async def test_reload__old_process_has_requests_open__tells_the_site_until_they_are_done(world: World) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    processes, last_polls = world.options.gateway_processes, world.site.last_polls
    old = set(last_polls())
    async with aiohttp.ClientSession() as session:
        answer = await session.post(world.url("slow"), data=b'{"stream": true, "held": true}', headers=headers)
        await world.reload()
        await auntil(lambda: len(set(last_polls()) - old) == processes, "every successor has asked", seen=last_polls)
        successors = set(last_polls()) - old
        # A successor names the processes that are its peers ...
        peers = {boot for poll in world.site.polls if poll["boot"] in successors for boot in poll["peers"]}
        assert peers
        assert peers <= old
        world.opened.set()
        content = await answer.read()

    assert content.count(b"data: ") == PARTS
    # ... and once the old one has ended, the site hears that too. What an old one said last may be from before.
    await auntil(
        lambda: not any(last_polls()[boot]["peers"] for boot in successors),
        "the site hears that the old ones have ended",
        seen=last_polls,
    )


async def test_reload__successor_cannot_start__old_process_goes_on_and_it_is_said(world: World) -> None:
    for spec in world.plan.gateways():
        spec.command[:] = ["sh", "-c", "exit 7"]
    await world.reload()
    async with aiohttp.ClientSession() as session, session.get(f"{world.options.gateway_url}/healthz") as answer:
        assert answer.status == 200
    assert world.said("its successor ended (exit code 7) before it was ready")
    assert world.said("goes on") == world.options.gateway_processes
