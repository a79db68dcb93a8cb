"""Places that checkpoints are copied to."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

from moto.server import ThreadedMotoServer

from mlorch_site.audit.checkpointing import checkpoint_write
from mlorch_site.audit.checkpoints import Checkpoint
from mlorch_site.lib import clock
from tests.support.tampering import acts


def checkpoints(count: int) -> list[Checkpoint]:
    """So many new checkpoints, each over a record more."""
    made = []
    for _ in range(count):
        acts(1)
        made.append(checkpoint_write(now=clock.now()))
    return made


@contextmanager
def web_server() -> Iterator[HTTPServer]:
    """A server on loopback that keeps in `heard` what it was told, and answers `status` as long as it was told no more
    than it `takes`.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.server.heard.append(self.rfile.read(int(self.headers["Content-Length"])))
            is_taken = len(self.server.heard) <= self.server.takes
            self.send_response(self.server.status if is_taken else 503)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    httpd.heard, httpd.status, httpd.takes = [], 200, 1000
    thread = Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield httpd
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


@contextmanager
def object_store() -> Iterator[str]:
    """The URL of a server that speaks S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()
