"""`python -m dataplane.agent`: supervise workers until SIGTERM."""

import asyncio
import contextlib
import signal

from dataplane.agent.config import from_environment
from dataplane.agent.loop import Agent
from dataplane.wire import log_lines


async def main() -> None:
    config = from_environment()
    log_lines.configure(config.log_format)
    agent = Agent(config)
    task = asyncio.create_task(agent.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await agent.close()


if __name__ == "__main__":
    asyncio.run(main())
