"""One read for all connections that ask the same: news reach many at once, and the database is asked once."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async

READS_KEPT = 64
KEPT_S = 2.0

T = TypeVar("T")


class _Read(NamedTuple):
    """A read that has begun at a time of its event loop's clock."""

    began: float
    task: "asyncio.Task[Any]"


_reads: "WeakKeyDictionary[asyncio.AbstractEventLoop, OrderedDict[Hashable, _Read]]" = WeakKeyDictionary()


async def read_once(key: Hashable, function: Callable[..., T], *arguments: Any) -> T:
    """What `function` reads; who asks with the same key within `KEPT_S` gets the same.

    The key must hold what the answer has to contain, such as the sequence of the news that are the reason to read: a
    read that began before them is then another one. A read that failed is not kept.
    """
    loop = asyncio.get_running_loop()
    reads = _reads.setdefault(loop, OrderedDict())
    known = reads.get(key)
    if known is None or loop.time() - known.began > KEPT_S or _has_failed(known.task):
        known = reads[key] = _Read(loop.time(), loop.create_task(database_sync_to_async(function)(*arguments)))
        reads.move_to_end(key)
        if len(reads) > READS_KEPT:
            reads.popitem(last=False)
    result: T = await asyncio.shield(known.task)
    return result


def _has_failed(task: "asyncio.Task[Any]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
