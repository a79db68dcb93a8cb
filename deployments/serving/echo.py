"""A worker without a model, started like the real one: for fast tests of agent and gateway. The body's text drives it.

`{"sleep_ms": 50}` answers after a while, `{"crash": true}` ends the process, `{"fail": true}` answers 500, anything else is echoed.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

from deployments.serving.__main__ import arguments, say
from deployments.serving.answers import Answer, json_answer
from deployments.serving.server import WorkerServer


class EchoScorer:
    """Answers with what was asked, and with its own version."""

    def __init__(self, version: str) -> None:
        self._version = version

    def invocations(self, body: bytes, content_type: str) -> Answer:
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

    def infer(self, body: bytes, model_name: str) -> Answer:
        return json_answer(200, {"model_name": model_name, "model_version": self._version, "outputs": []})

    def metadata(self, model_name: str) -> Answer:
        return json_answer(
            200, {"name": model_name, "versions": [self._version], "platform": "echo", "inputs": [], "outputs": []}
        )


def main() -> int:
    options = arguments()
    say("loading")

    async def serve() -> None:
        await WorkerServer(EchoScorer(options.version), options.socket).serve(lambda: say("ready"))

    asyncio.run(serve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
