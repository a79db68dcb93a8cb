"""The agent's configuration, read from the environment in this one place."""

import hashlib
import os
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

from dataplane.wire.sandbox import LEVELS, SandboxLevel

NETWORK_PORTS = (53, 80, 443)
SOCKET_PATH_MAX_BYTES = 100  # the kernel's limit is 108, with the terminating zero


@dataclass(frozen=True)
class AgentConfig:
    """`sync_s` is the period of the sync in seconds where it cannot wait at the site; `stop_workers` ends workers when
    the agent is ended by SIGTERM.

    `sandbox` is the best level that is tried; `network_ports` are the TCP ports that a granted network opens;
    `source_builds` are the packages that may be built from source, which runs their code. `gateway_group` is the group
    of gateways that run as another user than the agent (0: as the same).
    """

    agent_id: str
    host: str
    control_url: str
    control_token: str
    data_dir: Path
    sync_s: float
    stop_workers: bool
    path: str
    sandbox: SandboxLevel = "full"
    network_ports: tuple[int, ...] = NETWORK_PORTS
    source_builds: tuple[str, ...] = ()
    gateway_group: int = 0
    log_format: str = "text"

    @property
    def records(self) -> Path:
        return self.data_dir / "run" / "agent"

    @property
    def logs(self) -> Path:
        return self.data_dir / "logs" / "workers"

    @property
    def profiles(self) -> Path:
        return self.data_dir / "profiles"

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
        return self.short_folder("mlorch", 30)

    def short_folder(self, name: str, room_bytes: int) -> Path:
        """A folder of this user and this installation for sockets whose names take `room_bytes`: in the temporary
        folder, or in the system's own where that one is too long as well.
        """
        short = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"{name}-{os.getuid()}-{short}"
        if len(os.fsencode(folder)) + room_bytes <= SOCKET_PATH_MAX_BYTES:
            return folder
        return Path("/tmp") / folder.name  # noqa: S108 - whoever makes it looks whose it is


def from_environment() -> AgentConfig:
    """The configuration. Raises KeyError when the control token is missing, ValueError for a value that is none."""
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
        sandbox=sandbox_level(env.get("MLORCH_AGENT_SANDBOX", "full")),
        network_ports=tuple(int(port) for port in listed(env.get("MLORCH_AGENT_NETWORK_PORTS", "53,80,443"))),
        source_builds=listed(env.get("MLORCH_SOURCE_BUILDS", "")),
        gateway_group=int(env.get("MLORCH_AGENT_GATEWAY_GROUP", "0")),
        log_format=env.get("MLORCH_LOG_FORMAT") or "text",
    )


def listed(text: str) -> tuple[str, ...]:
    """The parts of a comma-separated text."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def sandbox_level(text: str) -> SandboxLevel:
    """The level that a text names. Raises ValueError."""
    for level in LEVELS:
        if text == level:
            return level
    raise ValueError(f"MLORCH_AGENT_SANDBOX is one of {', '.join(LEVELS)}, not {text!r}")
