"""An agent with everything that hostile models look for: secrets, a database, sockets, ports, other workers."""

import asyncio
import contextlib
import itertools
import json
import os
import re
import socket
import sqlite3
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from dataplane.agent import replica_runner
from dataplane.agent.config import AgentConfig
from dataplane.agent.loop import Agent
from dataplane.wire.agent_sync import ReplicaGoal, ReplicaObservation
from dataplane.wire.digest import digest
from dataplane.wire.frames import AnswerHeader, FrameError, RequestHeader, encode_frame, read_frame
from tests.dataplane.hostile.models import Attempt, saved
from tests.support.folders import short_folder
from tests.support.ports import free_ports
from tests.support.waiting import auntil, patience

SECRET = "the-secret-of-the-house"
BODY = json.dumps({"inputs": [1]}).encode()


@dataclass
class World:
    """An agent, what it has to hide, and the models that it runs."""

    agent: Agent
    folder: Path
    goals: dict[str, ReplicaGoal] = field(default_factory=dict)
    port: int = 0  # on which something listens
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def row(self, replica: str) -> ReplicaObservation:
        return next(row for row in self.agent.report().replicas if row.id == replica)

    async def begin(self, tried: Attempt, **changes: Any) -> str:
        """Start a worker with the attempt's model; return the replica's id, whatever becomes of it."""
        replica = f"r-{next(self._numbers)}"
        artifacts = saved(tried, self.folder / "artifacts", self.known())
        fields: dict[str, Any] = {"max_restarts": 0, "memory_limit_mb": tried.memory_mb, "drain_s": 1}
        fields |= {"start_timeout_s": tried.start_timeout_s, "requirements": [], "python": "3.11"} | changes
        fields = {"digest": digest(artifacts), "artifacts": str(artifacts)} | fields
        goal = ReplicaGoal(replica, 1, tried.name, "1", **fields)
        self.goals = {**{name: kept for name, kept in self.goals.items() if name == "r-0"}, replica: goal}
        self.agent.reconcile(list(self.goals.values()))
        return replica

    async def ready(self, replica: str) -> None:
        await self.until(replica, "ready", "failed")
        assert self.row(replica).state == "ready", self.row(replica)

    async def until(self, replica: str, *states: str) -> str:
        """Return what is said of the replica when it is in one of the states."""
        await auntil(lambda: self.row(replica).state in states, f"it is {states}", seen=lambda: self.row(replica))
        return self.row(replica).message

    async def ask(self, replica: str, op: str = "invocations") -> tuple[AnswerHeader, bytes]:
        reader, writer = await self.connect(replica)
        writer.write(encode_frame(RequestHeader(op, 1, content_type="application/json"), BODY))
        try:
            return await read_frame(reader, AnswerHeader)
        finally:
            writer.close()

    async def connect(self, replica: str) -> tuple[Any, Any]:
        return await asyncio.open_unix_connection(self.row(replica).address.removeprefix("unix:"))

    async def told(self, replica: str) -> str:
        """What is said of the one request: by the worker, or by the agent when there is no worker any more."""
        with contextlib.suppress(OSError, FrameError, EOFError):
            async with asyncio.timeout(patience()):
                header, body = await self.ask(replica)
            return f"{header.status} {body.decode()}"
        return await self.until(replica, "failed", "backoff")

    def known(self) -> dict[str, Any]:
        """What a model knows of where it is: more than it could find out."""
        sockets = self.agent.config.sockets
        return {
            "data": str(self.folder),
            "secret": str(self.folder / "secrets.json"),
            "database": str(self.folder / "mlorch.sqlite3"),
            "other": str(self.folder / "artifacts" / "sha256-other" / "model.pkl"),
            "other_home": str(sockets / "r-0.home"),
            "other_socket": str(sockets / "r-0.sock"),
            "broker": str(self.folder / "run" / "valkey.sock"),
            "abstract": f"\0hostile-test-{os.getpid()}",
            "port": self.port,
            "address": address_of_this_machine(),
            "agent": os.getpid(),
            "template": next(iter(self.agent.template_pids), os.getpid()),
        }


def address_of_this_machine() -> str:
    """The address that this machine has on its network; loopback's where it has none."""
    with contextlib.suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as asking:
        asking.connect(("192.0.2.1", 9))  # sends nothing
        return str(asking.getsockname()[0])
    return "127.0.0.1"


def secrets_in(folder: Path) -> None:
    (folder / "secrets.json").write_text(json.dumps({"django": SECRET}))
    with contextlib.closing(sqlite3.connect(folder / "mlorch.sqlite3")) as database:
        database.execute("create table secrets (secret text)")
        database.execute("insert into secrets values (?)", [SECRET])
        database.commit()
    other = folder / "artifacts" / "sha256-other"
    other.mkdir(parents=True)
    (other / "model.pkl").write_text(SECRET)


@contextlib.contextmanager
def listening(folder: Path) -> Iterator[int]:
    """Listen as a broker, on an abstract socket and on loopback; give the port."""
    with contextlib.ExitStack() as stack:
        for family, address in (
            (socket.AF_UNIX, str(folder / "run" / "valkey.sock")),
            (socket.AF_UNIX, f"\0hostile-test-{os.getpid()}"),
            (socket.AF_INET, ("127.0.0.1", 0)),
        ):
            listener = stack.enter_context(socket.socket(family))
            listener.bind(address)
            listener.listen()
        yield listener.getsockname()[1]


def running() -> set[psutil.Process]:
    """What this process and its children have started; other tests may have servers of theirs among it."""
    return {one for one in psutil.Process().children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["full", "partly"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """An agent whose sandboxes are of a level, with one harmless replica beside those of the attempts."""
    before = running()
    with pytest.MonkeyPatch.context() as patch, short_folder() as folder:
        patch.setenv("MLORCH_CONTROL_TOKEN", SECRET)
        for name, seconds in (("WATCH_S", 0.2), ("PING_AGAIN_S", 0.1), ("BACKOFF_FIRST_S", 0.05)):
            patch.setattr(replica_runner, name, seconds)
        config = AgentConfig(
            *("a1", "here", "http://127.0.0.1:1", SECRET, folder, 0.1, True, os.environ["PATH"]),
            sandbox=request.param,
            network_ports=(80, 443, *free_ports(1)),
        )
        agent = Agent(config)
        agent.adopt()
        secrets_in(folder)
        with listening(folder) as port:
            world = World(agent, folder, port=port)
            await agent.warm_up()
            harmless = await world.begin(Attempt("harmless", "return 'well'", ""))
            await world.ready(harmless)
            assert re.match(request.param, world.row(harmless).sandbox)
            yield world
        await agent.close()
        assert not running() - before
