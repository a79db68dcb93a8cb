"""The gateway's configuration, read from the environment in this one place, and its named limits."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SOCKET_PATH_MAX_BYTES = 100  # the kernel's limit is 108, with the terminating zero
SOCKET_NAME_MAX_BYTES = 40
POLL_WAIT_S = 5  # also how old the numbers on the gateway page can be
POLL_WAIT_DRAINING_S = 1
POLL_TIMEOUT_S = 30
NEWS_EVERY_S = 0.2  # what the site is to hear at once waits no longer for the poll that is open
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
EXPRESS_MAX_BYTES = 1024 * 1024  # larger bodies go over ASGI, which stops reading while it waits
IDLE_LOOK_S = 5.0
KEEP_ALIVE_S = 75.0
STOP_TIMEOUT_S = 20
DRAIN_MAX_S = 60.0  # for what is open when the process is told to drain; what is still open then is cut
DRAIN_LINGER_S = 3.0  # an idle connection still takes a request for so long: its client cannot know yet
DRAIN_LOOK_S = 0.02
READY_WITHIN_S = 3.0  # a successor waits no longer for workers and for the site before it takes over
URL_MAX_CHARS = 2048
HEADER_MAX_BYTES = 32 * 1024
BACKLOG = 2048
DISCARD_MAX_BYTES = 16 * 1024 * 1024  # of a refused body, so that its sender gets to see the refusal
RETRY_AFTER_S = 1
SPOOL_MAX_BATCHES = 7200
PUSH_TIMEOUT_S = 10
PUSH_LOOK_S = 5.0  # for what an ended process of the gateway left in the spool
DRIFT_PUSH_S = 10.0
CLOSE_DELAY_S = 0.05
METRICS_FOR_LOOPBACK, METRICS_FOR_ALL = "loopback", "all"


@dataclass(frozen=True)
class TraceConfig:
    """Where traces are posted with which headers, which share (0–1) of ordinary requests is kept, and from how many
    seconds on a request is slow.
    """

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    share: float = 0.01
    slow_s: float = 0.5


@dataclass(frozen=True)
class GatewayConfig:
    """Where the gateway listens, whom it obeys, and where it keeps its last good route tables."""

    gateway_id: str
    host: str
    port: int
    control_url: str
    control_token: str
    data_dir: Path
    grpc_port: int = 0  # 0: no gRPC
    shares_port: bool = False  # with other gateway processes of this machine
    listen_fds: tuple[int, ...] = ()  # listening sockets for HTTP and gRPC, when the process was started with some
    ready_fd: int = -1  # a socket on which to say that it is ready and to hand its own sockets over; -1: nobody asks
    log_sink: str = ""  # where request log entries are posted as CloudEvents
    traces: TraceConfig | None = None  # None: none are sent
    log_format: str = "text"
    metrics_readers: str = METRICS_FOR_LOOPBACK  # who reads /metrics besides who has a key that opens everything

    @property
    def folder(self) -> Path:
        return self.data_dir / "gateway" / self.gateway_id

    @property
    def sockets(self) -> Path:
        """Where processes of one machine find each other: in the data directory, or in a short private one when that
        path is too long.
        """
        folder = self.data_dir / "run" / "gateways"
        if len(os.fsencode(folder)) + SOCKET_NAME_MAX_BYTES <= SOCKET_PATH_MAX_BYTES:
            return folder
        short = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"mlorch-gateways-{os.getuid()}-{short}"


def from_environment() -> GatewayConfig:
    """The configuration. Raises KeyError when the control token is missing."""
    env = os.environ
    return GatewayConfig(
        gateway_id=env.get("MLORCH_GATEWAY_ID", "gateway-1"),
        host=env.get("MLORCH_GATEWAY_HOST", "127.0.0.1"),
        port=int(env.get("MLORCH_GATEWAY_PORT", "8080")),
        control_url=env.get("MLORCH_CONTROL_URL", "http://127.0.0.1:8000").rstrip("/"),
        control_token=env["MLORCH_CONTROL_TOKEN"],
        data_dir=Path(env.get("MLORCH_DATA_DIR", "var")).resolve(),
        grpc_port=int(env.get("MLORCH_GATEWAY_GRPC_PORT", "0")),
        log_sink=env.get("MLORCH_GATEWAY_LOG_SINK", ""),
        traces=traces_from(env),
        log_format=env.get("MLORCH_LOG_FORMAT") or "text",
        metrics_readers=env.get("MLORCH_GATEWAY_METRICS", METRICS_FOR_LOOPBACK),
        shares_port=env.get("MLORCH_GATEWAY_SHARES_PORT", "0") == "1",
        listen_fds=tuple(int(number) for number in env.get("MLORCH_GATEWAY_LISTEN_FDS", "").split(",") if number),
        ready_fd=int(env.get("MLORCH_GATEWAY_READY_FD", "-1")),
    )


def traces_from(env: Mapping[str, str]) -> TraceConfig | None:
    """Where traces are to be posted, None when nobody wants them. Raises ValueError for what cannot be meant."""
    base = env.get("MLORCH_GATEWAY_OTLP_URL", "").rstrip("/")
    if not base:
        return None
    if not base.startswith(("http://", "https://")):
        raise ValueError("MLORCH_GATEWAY_OTLP_URL is the http(s) address of an OTLP receiver")
    share_pct = float(env.get("MLORCH_GATEWAY_TRACE_SHARE_PCT", "1"))
    slow_ms = float(env.get("MLORCH_GATEWAY_TRACE_SLOW_MS", "500"))
    if not 0 <= share_pct <= 100 or not slow_ms > 0:
        raise ValueError("MLORCH_GATEWAY_TRACE_SHARE_PCT is 0 to 100, MLORCH_GATEWAY_TRACE_SLOW_MS above 0")
    pairs = [pair.partition("=") for pair in env.get("MLORCH_GATEWAY_OTLP_HEADERS", "").split(",") if pair.strip()]
    if any(not name.strip() or not value for name, _, value in pairs):
        raise ValueError("MLORCH_GATEWAY_OTLP_HEADERS is name=value,name=value")
    url = base if base.endswith("/v1/traces") else f"{base}/v1/traces"
    return TraceConfig(url, {name.strip(): value.strip() for name, _, value in pairs}, share_pct / 100, slow_ms / 1000)
