"""The configuration of a scratch run, read from the environment in this one place."""

import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

from dataplane.agent.config import SOCKET_PATH_MAX_BYTES, AgentConfig, listed, sandbox_level

SOCKET_ROOM_BYTES = 30


@dataclass(frozen=True)
class ScratchConfig(AgentConfig):
    """As the agent's, with folders of its own: the environments of scratch runs serve nobody."""

    run: str = ""

    @property
    def root(self) -> Path:
        return self.data_dir / "scratch"

    @property
    def runs(self) -> Path:
        """Where each run has a folder while it lasts: in the data directory, or a private one when that path is too
        long for sockets.
        """
        folder = self.root / "runs"
        if len(os.fsencode(folder / self.run)) + SOCKET_ROOM_BYTES <= SOCKET_PATH_MAX_BYTES:
            return folder
        return self.short_folder("mlorch-scratch", len(self.run) + 1 + SOCKET_ROOM_BYTES)  # each clears its own

    @property
    def folder(self) -> Path:
        return self.runs / self.run

    @property
    def records(self) -> Path:
        return self.folder

    @property
    def sockets(self) -> Path:
        return self.folder

    @property
    def logs(self) -> Path:
        return self.folder

    @property
    def environments(self) -> Path:
        return self.root / "environments"


def from_environment() -> ScratchConfig:
    """The configuration. Raises ValueError for a value that is none."""
    env = os.environ
    return ScratchConfig(
        agent_id="scratch",
        host=socket.gethostname(),
        control_url="",
        control_token="",
        data_dir=Path(env.get("MLORCH_DATA_DIR", "var")).resolve(),
        sync_s=1.0,
        stop_workers=True,
        path=env.get("PATH", os.defpath),
        sandbox=sandbox_level(env.get("MLORCH_AGENT_SANDBOX", "full")),
        source_builds=listed(env.get("MLORCH_SOURCE_BUILDS", "")),
        run=uuid.uuid4().hex[:12],
    )
