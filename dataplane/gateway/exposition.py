"""One /metrics for all gateway processes that share a port: whoever is asked asks the others over private sockets."""

import asyncio
import contextlib
import os
from pathlib import Path

from dataplane.gateway.state import State

ASK_TIMEOUT_S = 1.0
SUFFIX = ".metrics.sock"


class Exposition:
    """Gives this process's metrics to the others, and everybody's to Prometheus."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._path = state.config.sockets / f"{state.config.gateway_id}{SUFFIX}"
        self._server: asyncio.Server | None = None
        self._inode = 0

    async def start(self) -> None:
        """Listen for the other processes of this machine, in the place of an earlier process of the same gateway."""
        while self._server is None:
            # The last of the others may take the folder away at this very moment.
            with contextlib.suppress(FileNotFoundError):
                await self._listen()

    async def _listen(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        old_mask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, path=str(self._path))
        finally:
            os.umask(old_mask)
        self._inode = self._path.stat().st_ino

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(FileNotFoundError):
                if self._path.stat().st_ino == self._inode:
                    self._path.unlink()
            with contextlib.suppress(OSError):  # others are there
                self._path.parent.rmdir()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(self._state.metrics.render())
            await writer.drain()
        writer.close()

    async def render(self) -> bytes:
        """The metrics of all processes; one that does not answer in time is left out and counted."""
        others = [path for path in sorted(self._path.parent.glob(f"*{SUFFIX}")) if path != self._path]
        texts = await asyncio.gather(*(self._ask(path) for path in others))
        self._state.metrics.peers_missed += sum(text is None for text in texts)
        return merged([self._state.metrics.render(), *(text for text in texts if text)])

    async def _ask(self, path: Path) -> bytes | None:
        """Another process's metrics, None when it does not answer, empty when it has ended."""
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                reader, writer = await asyncio.open_unix_connection(str(path))
                try:
                    return await reader.read(-1)
                finally:
                    writer.close()
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return b""
        except (OSError, TimeoutError):
            return None


def merged(texts: list[bytes]) -> bytes:
    """Several expositions as one: each family once, with the samples of all."""
    families: dict[str, tuple[list[str], list[str]]] = {}
    for text in texts:
        heads: list[str] = []
        samples: list[str] = []
        for line in text.decode().splitlines():
            if line.startswith("# HELP "):
                heads, samples = families.setdefault(line.split(" ", 3)[2], ([], []))
            if not line.startswith("# "):
                samples.append(line)
            elif line not in heads:
                heads.append(line)
    return "".join(f"{line}\n" for heads, samples in families.values() for line in [*heads, *samples]).encode()
