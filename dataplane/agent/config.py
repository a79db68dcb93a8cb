"""The agent's configuration, read from the environment in this one place."""

import hashlib
import os
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

SOCKET_PATH_MAX_BYTES = 100  # the kernel's limit is 108, with the terminating zero


@dataclass(frozen=True)
class AgentConfig:
    """`sync_s` is the period of the sync in seconds where it cannot wait at the site; `stop_workers` ends workers when
    the agent is ended by SIGTERM.
    """

    agent_id: str
    host: str
    control_url: str
    control_token: str
    data_dir: Path
    sync_s: float
    stop_workers: bool
    path: str

    @property
    def records(self) -> Path:
        return self.data_dir / "run" / "agent"

    @property
    def logs(self) -> Path:
        return self.data_dir / "logs" / "workers"

    @property
    def ways(self) -> Path:
        return self.data_dir / "ways"

    @property
    def environments(self) -> Path:
        return self.data_dir / "environments"

    @property
    def sockets(self) -> Path:
        """Where the workers' sockets lie: in the data directory, or in a short private one when that path is too
        long.
        """
        folder = self.data_dir / "run" / "workers"
        if len(os.fsencode(folder)) + 30 <= SOCKET_PATH_MAX_BYTES:
            return folder
        short = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"mlorch-{os.getuid()}-{short}"


def from_environment() -> AgentConfig:
    """The configuration. Raises KeyError when the control token is missing."""
    env = os.environ
    return AgentConfig(
        agent_id=env.get("MLORCH_AGENT_ID", "agent-1"),
        host=socket.gethostname(),
        control_url=env.get("MLORCH_CONTROL_URL", "http://127.0.0.1:8000").rstrip("/"),
        control_token=env["MLORCH_CONTROL_TOKEN"],
        data_dir=Path(env.get("MLORCH_DATA_DIR", "var")).resolve(),
        sync_s=float(env.get("MLORCH_AGENT_SYNC_S", "0.5")),
        stop_workers=env.get("MLORCH_AGENT_STOP_WORKERS", "1") != "0",
        path=env.get("PATH", os.defpath),
    )
