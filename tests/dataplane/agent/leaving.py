"""An agent that starts one replica, tells its template's and its worker's process ids, and waits to be killed."""

import asyncio
import json
import os
from pathlib import Path

from dataplane.agent.config import Config
from dataplane.agent.loop import Agent


async def main(folder: str, goal: str) -> None:
    agent = Agent(Config("a1", "here", "http://127.0.0.1:1", "token", Path(folder), 0.1, True, os.environ["PATH"]))
    agent._config.sockets.mkdir(parents=True, exist_ok=True, mode=0o700)
    agent.reconcile([json.loads(goal)])
    while agent.report()["replicas"][0]["state"] != "ready":
        await asyncio.sleep(0.05)
    (template,) = agent._templates._templates.values()
    (Path(folder) / "told.tmp").write_text(json.dumps([template.pid, agent.report()["replicas"][0]["pid"]]))
    (Path(folder) / "told.tmp").rename(Path(folder) / "told")
    await asyncio.Event().wait()
