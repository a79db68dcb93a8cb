"""mlorch on its full path: gateway with keys, sticky weighted routing over two arms, per-arm windows and telemetry, and
two workers.
"""

import contextlib
import hashlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dataplane.gateway.site import kept_tables
from dataplane.wire import shapes
from dataplane.wire.digest import digest
from dataplane.wire.route_table import RouteTable
from tests.bench.peers.base import Setting

KEY = "mlk_bench"
ENDPOINT = "cancer"
INVOCATIONS = f"/production/endpoints/{ENDPOINT}/invocations"
INFER = f"/production/v2/models/{ENDPOINT}/infer"
HEADERS = {"Authorization": f"Bearer {KEY}"}
POLL_HOLD_S = 15


class Site(BaseHTTPRequestHandler):
    """Takes polls and windows as the site does, so that telemetry is on; it has no newer routes."""

    protocol_version = "HTTP/1.1"
    windows = 0

    def log_message(self, format: str, *args: Any) -> None:
        return

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path.endswith("/poll"):
            time.sleep(POLL_HOLD_S)
        Site.windows += len(body.get("windows", ()))
        answer = json.dumps(
            {"tables": [], "environments": ["production"], "accepted": body.get("sequence", 0)}
        ).encode()
        with contextlib.suppress(ConnectionError):  # a gateway that was ended does not wait for the answer
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)


def start_site() -> int:
    """Start the stand-in of the site in this process; return its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def worker_command(setting: Setting, version: str) -> list[str]:
    """The command of one worker."""
    command = [sys.executable, "-m", "dataplane.worker", "--socket", str(socket_of(setting, version))]
    command += ["--artifacts", str(setting.artifacts), "--digest", digest(setting.artifacts)]
    return [*command, "--model", "cancer", "--version", version]


def socket_of(setting: Setting, version: str) -> Path:
    return setting.folder / f"{version}.sock"


def gateway_environment(setting: Setting, port: int, site_port: int) -> dict[str, str]:
    """Write the route table the gateway starts with; return its environment."""
    kept_tables.save(setting.folder / "gateway" / "gateway-1" / "routes", shapes.convert(RouteTable, _table(setting)))
    return {
        "MLORCH_DATA_DIR": str(setting.folder),
        "MLORCH_CONTROL_TOKEN": "bench",
        "MLORCH_CONTROL_URL": f"http://127.0.0.1:{site_port}",
        "MLORCH_GATEWAY_PORT": str(port),
    }


def _table(setting: Setting) -> dict[str, Any]:
    def arm(name: str, version: str, weight_pct: int) -> dict[str, Any]:
        replica = {"id": f"r-{version}", "address": f"unix:{socket_of(setting, version)}"}
        fields = {"arm": name, "version": version, "weight_pct": weight_pct, "release": f"release-{version}"}
        return {**fields, "replicas": [replica]}

    route = {
        "release": "release-2",
        "salt": "bench",
        "timeout_ms": 10_000,
        "max_body_bytes": 8 * 1024 * 1024,
        "max_in_flight": 256,
        "max_batch_rows": 64,
        "max_batch_delay_ms": 5,
        "arms": [arm("stable", "1", 90), arm("candidate", "2", 10)],
    }
    key = {
        "prefix": KEY[:6],
        "digest": hashlib.sha256(KEY.encode()).hexdigest(),
        "endpoints": ["*"],
        "expires_at": None,
    }
    return {"format": 1, "environment": "production", "revision": 1, "keys": [key], "endpoints": {ENDPOINT: route}}
