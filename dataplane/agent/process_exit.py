"""The end of a process, told by the kernel: nobody has to ask for it again and again."""

import asyncio
import contextlib
import os
from collections.abc import Iterator

from dataplane.agent.worker_process import Record


class Exit:
    """The end of one process."""

    def __init__(self) -> None:
        self._ended = asyncio.Event()

    def tell(self) -> None:
        self._ended.set()

    async def within(self, seconds: float) -> bool:
        """True as soon as the process has ended, False when it still runs after that many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True


@contextlib.contextmanager
def exit_of(record: Record) -> Iterator[Exit]:
    """Give the end of the record's process, whosever child it is."""
    end = Exit()
    try:
        descriptor = os.pidfd_open(record.pid)
    except ProcessLookupError:
        end.tell()
        yield end
        return
    loop = asyncio.get_running_loop()

    def mark_ended() -> None:
        loop.remove_reader(descriptor)
        end.tell()

    loop.add_reader(descriptor, mark_ended)
    try:
        # Asked only now: when the process id was another's already as it was opened, this says so.
        if not record.is_alive():
            end.tell()
        yield end
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
