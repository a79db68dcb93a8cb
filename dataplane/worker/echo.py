"""A worker without a model, started like the real one: for fast tests of agent and gateway. The body's text drives it.

`{"sleep_ms": 50}` answers after a while, `{"crash": true}` ends the process, `{"fail": true}` answers 500, anything
else is echoed.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from dataplane.wire.frames import RequestHeader
from dataplane.wire.worker_profile import WorkerProfile
from dataplane.worker.__main__ import arguments, say
from dataplane.worker.answers import Answer, json_answer
from dataplane.worker.server import WorkerServer


class EchoScorer:
    """Answers with what was asked, and with its own version."""

    def __init__(self, version: str) -> None:
        self._version = version

    max_batch = 1
    profile = WorkerProfile(reason="one request at a time: there is no model")

    def replay(self) -> None:
        return

    def score(self, header: RequestHeader, bodies: "list[bytes]") -> "list[Answer]":
        return [self._one(header, body) for body in bodies]

    def stream(self, header: RequestHeader, body: bytes) -> "Iterator[bytes] | Answer":
        return (b"data: %d\n\n" % place for place in range(3))

    def _one(self, header: RequestHeader, body: bytes) -> Answer:
        name = header.model_name
        if header.op == "infer":
            return json_answer(200, {"model_name": name, "model_version": self._version, "outputs": []})
        if header.op == "metadata":
            described = {"name": name, "versions": [self._version], "platform": "echo", "inputs": [], "outputs": []}
            return json_answer(200, described)
        return self._invocations(body)

    def _invocations(self, body: bytes) -> Answer:
        try:
            asked: Any = json.loads(body)
        except ValueError:
            asked = {}
        asked = asked if isinstance(asked, dict) else {}
        if asked.get("crash"):
            os._exit(1)
        time.sleep(min(float(asked.get("sleep_ms", 0)), 10_000) / 1000)
        if asked.get("fail"):
            return json_answer(500, {"error_code": "INTERNAL_ERROR", "message": "asked to fail"})
        return json_answer(200, {"predictions": [len(body)], "version": self._version})


def main() -> int:
    options = arguments()
    say(options.events, "loading")
    server = WorkerServer(EchoScorer(options.version), options.socket, options.listener)
    server.serve(lambda: say(options.events, "ready"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
