"""The gateway's configuration, read from the environment in this one place, and its named limits."""

import os
from dataclasses import dataclass
from pathlib import Path

POLL_WAIT_S = 20
POLL_WAIT_DRAINING_S = 1
POLL_TIMEOUT_S = 30
BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 5.0
CONNECT_TIMEOUT_S = 1.0
HELLO_TIMEOUT_S = 5.0
PIPELINE = 2  # batches per replica: one is predicted while the next one already lies in its socket
GATHER_TURNS_MAX = 8
BATCH_MAX_BYTES = 8 * 1024 * 1024
SWEEP_S = 0.02
EJECT_FIRST_S = 0.5
EJECT_MAX_S = 30.0
RETRY_SHARE = 0.2
RETRY_TOKENS_MAX = 10.0
MOVES_MAX = 5
BODY_TIMEOUT_S = 30.0
STREAM_PART_TIMEOUT_S = 60.0
PATHS_KEPT = 4096
EXPRESS_MAX_BYTES = 1024 * 1024  # larger bodies take the ASGI way, which stops reading while it waits
IDLE_LOOK_S = 5.0
KEEP_ALIVE_S = 75.0
STOP_TIMEOUT_S = 20
URL_MAX_CHARS = 2048
HEADER_MAX_BYTES = 32 * 1024
UNIT_MAX_CHARS = 256
DISCARD_MAX_BYTES = 16 * 1024 * 1024  # of a refused body, so that its sender gets to see the refusal
RETRY_AFTER_S = 1
SPOOL_MAX_BATCHES = 7200
PUSH_TIMEOUT_S = 10
CLOSE_DELAY_S = 0.05


@dataclass(frozen=True)
class Config:
    """Where the gateway listens, whom it obeys, and where it keeps its last good route tables."""

    gateway_id: str
    host: str
    port: int
    control_url: str
    control_token: str
    data_dir: Path

    @property
    def folder(self) -> Path:
        return self.data_dir / "gateway" / self.gateway_id


def from_environment() -> Config:
    """Return the configuration. Raises KeyError when the control token is missing."""
    env = os.environ
    return Config(
        gateway_id=env.get("MLORCH_GATEWAY_ID", "gateway-1"),
        host=env.get("MLORCH_GATEWAY_HOST", "127.0.0.1"),
        port=int(env.get("MLORCH_GATEWAY_PORT", "8080")),
        control_url=env.get("MLORCH_CONTROL_URL", "http://127.0.0.1:8000").rstrip("/"),
        control_token=env["MLORCH_CONTROL_TOKEN"],
        data_dir=Path(env.get("MLORCH_DATA_DIR", "var")).resolve(),
    )
