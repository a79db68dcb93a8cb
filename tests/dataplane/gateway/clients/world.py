"""The gateway with both its ports in a thread of this process, in front of real worker processes."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from dataplane.gateway.config import GatewayConfig
from dataplane.gateway.grpc import grpc_server
from dataplane.gateway.http.app import App
from dataplane.gateway.http.connection import connections_of
from dataplane.gateway.state import State
from tests.dataplane.gateway.clients import models
from tests.dataplane.gateway.conftest import KEY, digest
from tests.dataplane.worker.conftest import ROOT, start_worker, stop_worker
from tests.support.waiting import auntil, patience

FOREIGN_KEY = "mlk_only_other"
MAX_BODY_BYTES = 1_000_000


class Gateway:
    """A running gateway: where it listens, and its state."""

    def __init__(self, folder: Path, table: dict[str, Any]) -> None:
        self._folder, self._table = folder, table
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()), daemon=True)
        self.port = self.grpc_port = 0
        self.state: State

    async def _run(self) -> None:
        self.state = State(GatewayConfig("g1", "127.0.0.1", 0, "http://127.0.0.1:1", "token", self._folder))
        self.state.apply(self._table)
        application = App(self.state)
        self._server = uvicorn.Server(
            uvicorn.Config(application, http=connections_of(application), port=0, log_level="warning", lifespan="off")
        )
        serving = asyncio.create_task(self._server.serve())
        listening = await grpc_server.start(self.state, socket.create_server(("127.0.0.1", 0)))
        await auntil(lambda: self._server.started, "the gateway has started")
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self.grpc_port = listening.port
        self._ready.set()
        await serving
        await listening.stop(1, 0)
        self.state.close()

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(patience())

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(patience())


def route_table(sockets: dict[str, Path]) -> dict[str, Any]:
    """A table of production with one endpoint for each worker, and `gone`, whose worker does not listen."""
    keys = [
        {"prefix": "mlk_te", "digest": digest(KEY), "endpoints": ["*"], "expires_at": None},
        {"prefix": "mlk_on", "digest": digest(FOREIGN_KEY), "endpoints": ["other"], "expires_at": None},
    ]
    named = {**sockets, "gone": Path("/nowhere/w.sock")}

    def route(name: str, socket: Path) -> dict[str, Any]:
        arm = {"arm": "stable", "version": "7", "weight_pct": 100, "release": f"rel-{name}"}
        arm["replicas"] = [{"id": f"r-{name}", "address": f"unix:{socket}"}]
        limits = {"timeout_ms": 20_000, "max_body_bytes": MAX_BODY_BYTES, "max_in_flight": 64}
        return {"release": f"rel-{name}", "salt": "salt", **limits, "arms": [arm]}

    endpoints = {name: route(name, socket) for name, socket in named.items()}
    return {"format": 1, "environment": "production", "revision": 1, "keys": keys, "endpoints": endpoints}


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Gateway]:
    """Start a worker for each model of `models` and a gateway before them; end all of it."""
    workers = {}
    with contextlib.ExitStack() as stack:
        for name, artifacts in models.save(folder).items():
            place = folder / f"w-{name}"
            place.mkdir()
            worker, lines = start_worker(artifacts, place)
            stack.callback(stop_worker, worker)
            assert '"ready"' in lines[-1], lines
            workers[name] = place / "w.sock"
        gateway = Gateway(folder / "data", route_table(workers))
        gateway.start()
        stack.callback(gateway.stop)
        yield gateway


def seen_by(program: str, *ports: int, python: str = sys.executable) -> dict[str, Any]:
    """Run a client program of this package against `ports`; return what it saw, the JSON object it prints last."""
    path = Path(__file__).parent / f"{program}.py"
    command = [python, str(path), *map(str, ports), KEY, FOREIGN_KEY]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * patience(), cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen
