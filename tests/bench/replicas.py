"""How soon a version answers and what a further replica costs: workers forked from a warm template, and the whole way
from the click.
"""

import asyncio
import json
import os
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil

from dataplane.agent.config import AgentConfig
from dataplane.agent.loop import Agent
from dataplane.wire.agent_sync import ReplicaGoal
from dataplane.wire.digest import digest
from tests.bench.report import Row, hand_over
from tests.bench.serving import train
from tests.e2e.client import ROWS, Rest
from tests.support.product import Product, prepared

REPLICAS = 4
CLICKS = 3
START_BUDGET_S = 3
MEMORY_BUDGET_MB = 60
WITHIN_S = 60


async def forked(artifacts: Path, folder: Path) -> list[tuple[float, float]]:
    """Return (seconds until ready, unique megabytes) of replicas started one after the other with a warm template."""
    agent = Agent(AgentConfig("bench", "here", "http://127.0.0.1:1", "token", folder, 0.1, True, os.environ["PATH"]))
    agent.adopt()
    await agent.warm_up()
    goals: list[ReplicaGoal] = []
    measured = []
    for number in range(REPLICAS):
        goals.append(ReplicaGoal(f"r-{number}", 1, "m", "1", digest(artifacts), str(artifacts), python="3.11"))
        began = time.monotonic()
        agent.reconcile(goals)
        while (row := agent.report().replicas[-1]).state != "ready" or row.id != f"r-{number}":
            await asyncio.sleep(0.01)
        took = time.monotonic() - began
        measured.append((took, psutil.Process(row.pid).memory_full_info().uss / 1e6))
    await agent.close()
    return measured


def click(product: Product, rest: Rest, version: int) -> float:
    """Seconds from the request of an immediate release in development until the gateway's first answer of that
    version.
    """
    body = json.dumps({"dataframe_split": ROWS.iloc[:1].to_dict(orient="split", index=False)}).encode()
    headers = {"Authorization": f"Bearer {product.credentials['gateway_key']}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{product.gateway}/development/endpoints/click/invocations", body, headers)
    began = time.monotonic()
    answer = rest.request(version, {"kind": "immediate"}, environment="development", endpoint="click")
    assert answer.status == 201, answer
    while time.monotonic() - began < WITHIN_S:
        with suppress(OSError), urllib.request.urlopen(request, timeout=5) as told:
            if told.headers["X-Mlorch-Version"] == str(version):
                took = time.monotonic() - began
                rest.reach(answer.body["id"], {"succeeded"}, WITHIN_S)
                return took
        time.sleep(0.02)
    raise AssertionError(f"no answer of version {version} within {WITHIN_S} s")


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        setting, _, _ = train(Path(folder))
        replicas = asyncio.run(forked(setting.artifacts, Path(folder) / "data"))
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, prepared(Path(folder), "--no-demo") as product:
        rest = Rest(product)
        rest.until_mirrored()
        clicks = [click(product, rest, version) for version in (1, 2, 1)]
    further = replicas[1:]
    hand_over(
        [
            Row("replica ready, template warm, slowest", max(took for took, _ in replicas), "s", START_BUDGET_S),
            Row("unique memory of a further replica, largest", max(mb for _, mb in further), "MB", MEMORY_BUDGET_MB),
            Row(f"click to the first answer, slowest of {CLICKS}", max(clicks), "s", START_BUDGET_S),
            Row(f"click to the first answer, fastest of {CLICKS}", min(clicks), "s"),
        ]
    )


if __name__ == "__main__":
    main()
