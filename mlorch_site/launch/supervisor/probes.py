"""Is it ready? One real request each."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp

TIMEOUT_S = 2.0


def http(url: str) -> Callable[[], Awaitable[bool]]:
    """A probe that is content with an answer 200 from `url`."""

    async def probe() -> bool:
        try:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    return probe


def redis_ping(path: str) -> Callable[[], Awaitable[bool]]:
    """A probe that is content with PONG on a unix socket."""

    async def probe() -> bool:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reader, writer = await asyncio.open_unix_connection(path)
                writer.write(b"PING\r\n")
                answer = await reader.readline()
                writer.close()
        except (OSError, TimeoutError):
            return False
        return answer.startswith(b"+PONG")

    return probe
