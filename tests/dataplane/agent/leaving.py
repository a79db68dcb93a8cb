"""An agent that starts one replica, tells its template's and its worker's process ids, and waits to be killed."""

import asyncio
import json
import os
from pathlib import Path

from dataplane.agent.config import AgentConfig
from dataplane.agent.loop import Agent
from dataplane.wire import shapes
from dataplane.wire.agent_sync import ReplicaGoal
from tests.support.waiting import auntil


async def main(folder: str, goal: str) -> None:
    agent = Agent(AgentConfig("a1", "here", "http://127.0.0.1:1", "token", Path(folder), 0.1, True, os.environ["PATH"]))
    agent.adopt()
    agent.reconcile([shapes.read(ReplicaGoal, goal.encode())])
    await auntil(lambda: agent.report().replicas[0].state == "ready", "it is ready", seen=agent.report)
    (template,) = agent.template_pids
    (Path(folder) / "told.tmp").write_text(json.dumps([template, agent.report().replicas[0].pid]))
    (Path(folder) / "told.tmp").rename(Path(folder) / "told")
    await asyncio.Event().wait()
