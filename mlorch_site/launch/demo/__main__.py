"""`python -m mlorch_site.launch.demo`: set the demo up, then replay traffic until ended."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp

from mlorch_site.launch.demo import ENDPOINT
from mlorch_site.launch.demo.story import Story
from mlorch_site.launch.demo.traffic import RATES_PER_S, Traffic


async def run(data_dir: Path) -> None:
    credentials = json.loads((data_dir / "credentials.json").read_text())
    connector = aiohttp.TCPConnector(limit=500)
    async with aiohttp.ClientSession(connector=connector) as session:
        story = Story(session, data_dir, credentials)
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(story.run())]
        await_production = asyncio.create_task(story.production_serves.wait())
        tasks.append(await_production)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for environment, rate in RATES_PER_S.items():
            url = f"{credentials['gateway']}/{environment}/endpoints/{ENDPOINT}/invocations"
            traffic = Traffic(session, url, credentials["gateway_key"], rate)
            tasks += [
                asyncio.create_task(traffic.run()),
                asyncio.create_task(traffic.report(f"{environment}/{ENDPOINT}")),
            ]
        await asyncio.gather(*tasks)


async def until_ended(data_dir: Path) -> None:
    main = asyncio.create_task(run(data_dir))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, main.cancel)
    try:
        await main
    except asyncio.CancelledError:
        return


if __name__ == "__main__":
    asyncio.run(until_ended(Path(os.environ.get("MLORCH_DATA_DIR", "var"))))
