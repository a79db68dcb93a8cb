"""How many requests a second a test may send: what this machine gives now, and never more than the test wants."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

TRIES = 20
# What the machine has to do besides: start processes, train models, run the other tests.
SHARE = 0.4


def affordable_per_s(ask: Callable[[], Any], wanted_per_s: float) -> float:
    """The rate at which to ask, when one request after the other takes as long as it does here and now."""
    began = time.monotonic()
    for _ in range(TRIES):
        ask()
    return _rate(began, TRIES, wanted_per_s)


async def aaffordable_per_s(ask: Callable[[int], Awaitable[Any]], at_once: int, wanted_per_s: float) -> float:
    """The rate at which to ask, when `at_once` clients that ask one request after the other get as many answers as they
    do now.

    `ask` gets the number of the request.
    """
    numbers = iter(range(at_once * TRIES))

    async def client() -> None:
        for number in numbers:
            await ask(number)

    began = time.monotonic()
    await asyncio.gather(*(client() for _ in range(at_once)))
    return _rate(began, at_once * TRIES, wanted_per_s)


def _rate(began: float, answers: int, wanted_per_s: float) -> float:
    return min(wanted_per_s, SHARE * answers / (time.monotonic() - began))
