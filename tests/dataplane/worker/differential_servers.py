"""The two real processes that are compared: MLflow's scoring server as `mlflow models serve` runs it, and the
worker.
"""

import http.client
import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from mlflow.pyfunc import scoring_server

from dataplane.wire.frames import AnswerHeader, FrameBuffer, RequestHeader, encode_frame
from tests.dataplane.worker.conftest import ROOT, start_worker, stop_worker
from tests.dataplane.worker.differential_bodies import Case
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE_S, patience, until

HOST = "127.0.0.1"
# MLflow writes sets into its messages; with one seed they have the same order in both processes.
SAME_ORDER = {"PYTHONHASHSEED": "0"}


class Reply(NamedTuple):
    """What a server answered. `outcome` is whose fault the worker says an error is; MLflow does not say."""

    status: int
    media_type: str
    body: bytes
    outcome: str | None = None


class TheirServer:
    """MLflow's scoring server behind HTTP."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=patience())

    def ask(self, case: Case) -> Reply:
        kind = {} if case.content_type is None else {"Content-Type": case.content_type.encode("latin-1")}
        self._connection.request("POST", "/invocations", case.body, kind)
        answer = self._connection.getresponse()
        reply = Reply(answer.status, _media_type(answer.headers.get("content-type", "")), answer.read())
        if reply.status == 500:  # the server closes the connection after it without saying so
            self._connection.close()
        return reply

    def close(self) -> None:
        self._connection.close()


class OurWorker:
    """The worker behind its unix socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(patience())
        self._socket.connect(str(path))
        self._buffer = FrameBuffer(AnswerHeader)

    def ask(self, case: Case) -> Reply:
        """Ask one request in a frame of its own."""
        header, body = self.exchange(RequestHeader("invocations", 1, content_type=case.content_type or ""), case.body)
        return Reply(header.status, _media_type(header.content_type), body, header.outcome)

    def ask_together(self, cases: list[Case]) -> list[Reply]:
        """Ask requests of one content type in one frame."""
        sizes = [len(case.body) for case in cases]
        header = RequestHeader("invocations", 1, content_type=cases[0].content_type or "", sizes=sizes)
        answer, body = self.exchange(header, b"".join(case.body for case in cases))
        replies, begin = [], 0
        for row in answer.answers or []:
            part = body[begin : begin + row.size]
            replies.append(Reply(row.status, _media_type(row.content_type), part, row.outcome))
            begin += row.size
        return replies

    def exchange(self, header: RequestHeader, body: bytes) -> tuple[AnswerHeader, bytes]:
        self._socket.sendall(encode_frame(header, body))
        while True:
            data = self._socket.recv(1 << 20)
            assert data, "the worker closed the connection"
            if frames := self._buffer.feed(data):
                return frames[0]

    def close(self) -> None:
        self._socket.close()


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip()


@contextmanager
def both(model: Path, folder: Path) -> Iterator[tuple[TheirServer, OurWorker, dict[str, Any]]]:
    """Start both servers on one model; yield them with what the worker said of how it answers.

    End them afterwards.
    """
    (port,) = free_ports(1)
    process = _start_theirs(model, folder, port)
    try:
        # Each of these models answers every row for itself, though nobody can see that but its author.
        worker, lines = start_worker(model, folder, arguments=("--rows-independent",), environment=SAME_ORDER)
        try:
            assert '"ready"' in lines[-1], lines
            _wait_for(process, port)
            warmed = next(said for line in lines if (said := json.loads(line))["event"] == "warmed")
            with closing(TheirServer(port)) as theirs, closing(OurWorker(folder / "w.sock")) as ours:
                yield theirs, ours, warmed
        finally:
            stop_worker(worker)
    finally:
        process.terminate()
        process.wait(patience())


def _start_theirs(model: Path, folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start the command that `mlflow models serve --env-manager local` starts."""
    command, environment = scoring_server.get_cmd(str(model), port=port, host=HOST)
    new = {name: value for name, value in environment.items() if os.environ.get(name) != value}
    return subprocess.Popen(
        [sys.executable, "-m", *shlex.split(command)],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "PYTHONPATH": str(ROOT),
            **SAME_ORDER,
            **new,
        },
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    def answers() -> bool:
        assert process.poll() is None, "MLflow's scoring server ended"
        with suppress(OSError), closing(http.client.HTTPConnection(HOST, port, timeout=patience())) as connection:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        return False

    until(answers, "MLflow's scoring server has started", within_s=2 * PATIENCE_S)
