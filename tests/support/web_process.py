"""The web process on loopback, in a thread of the test: its application, its connections and its limits."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from mlorch_site.asgi import application
from mlorch_site.lib.connection_limits import LimitedConnection
from tests.support.waiting import patience, until


@contextmanager
def web_process(monkeypatch: pytest.MonkeyPatch, application: Any = application) -> Iterator[int]:
    """The port of the site, or of another application with the same connections; without a database: the site answers
    `/healthz` only.
    """
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(application, http=LimitedConnection, log_level="critical", lifespan="off")
        server = uvicorn.Server(config)
        monkeypatch.setattr(server, "install_signal_handlers", lambda: None, raising=False)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        until(lambda: server.started, "the site listens")
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(patience())
