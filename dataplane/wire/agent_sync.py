"""The agent's sync: what it observes on its machine, and the goal it is answered (docs/wire.md section 5)."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from dataplane.wire.sandbox import SandboxLevel
from dataplane.wire.shapes import Count, HeaderText, Number, OptionalAddress, Positive, Text, UnixTime
from dataplane.wire.worker_profile import WorkerProfile

SYNC_BODY_MAX_BYTES = 2 * 1024 * 1024
REPLICAS_MAX = 10_000
BUILDS_MAX = 1_000
HOST_MAX_CHARS = 200
REPLICA_ID_MAX_CHARS = 20
BUILD_KEY_MAX_CHARS = 64
PROGRESS_MAX_CHARS = 300
LOG_TAIL_MAX_CHARS = 20_000

ReplicaId = Annotated[str, Meta(pattern=r"^[a-z0-9\-]+\Z", max_length=REPLICA_ID_MAX_CHARS)]
ReplicaStatus = Literal[
    "pending", "building", "starting", "warming", "ready", "backoff", "failed", "stopping", "stopped"
]


class ReplicaObservation(Struct, frozen=True):
    """A replica as its agent sees it.

    `started_at` is the start of its process, `ready_at` since when it is ready, both in Unix time. `profile` is what
    its worker said of how it answers. `sandbox` is the level of its sandbox: `full`, or `partly` or `none` with what is
    missing.
    """

    id: ReplicaId
    state: ReplicaStatus
    generation: Count = 0
    pid: Count | None = None
    started_at: UnixTime | None = None
    address: OptionalAddress = ""
    restarts: Count = 0
    message: Text = ""
    memory_mb: Count = 0
    digest: HeaderText = ""
    ready_at: UnixTime | None = None
    profile: WorkerProfile | None = None
    sandbox: Text = ""


class BuildObservation(Struct, frozen=True):
    """The build of an isolated Python environment."""

    key: Annotated[str, Meta(pattern=r"^[0-9a-z]+\Z", max_length=BUILD_KEY_MAX_CHARS)]
    state: Literal["building", "ready", "failed"]
    progress: Annotated[str, Meta(max_length=PROGRESS_MAX_CHARS)] = ""
    log_tail: Annotated[str, Meta(max_length=LOG_TAIL_MAX_CHARS)] = ""


class AgentReport(Struct, frozen=True):
    """All replicas and builds of one agent; what is missing is no more.

    `goal` names the goal that it knows: the site waits up to `wait_s` for another one before it answers.
    """

    replicas: Annotated[list[ReplicaObservation], Meta(max_length=REPLICAS_MAX)]
    boot: Text = ""
    host: Annotated[str, Meta(max_length=HOST_MAX_CHARS)] = ""
    goal: HeaderText = ""
    wait_s: Number = 0.0
    environments: Annotated[list[BuildObservation], Meta(max_length=BUILDS_MAX)] = []
    sandbox: Text = ""


class ReplicaGoal(Struct, frozen=True):
    """A replica that should run: which bytes, in which Python environment, within which limits.

    A higher `generation` replaces the process. `build_requirements` are installed where the worker gets a Python
    environment of its own.

    `rows_independent` is the owner's word that rows of different requests may go in one prediction. `nan_literal` asks
    for Python's NaN and Infinity in answers of MLflow's protocol, where null stands else. `runtime` names what runs in
    place of MLflow's model; empty outside of tests and benchmarks. Without `network` there is none. A machine whose
    sandboxes are worse than `sandbox_level_min` does not start it.
    """

    id: ReplicaId
    generation: Count
    model: str
    version: HeaderText
    digest: HeaderText
    artifacts: str
    requirements: list[str] = []
    python: HeaderText = ""
    memory_limit_mb: Positive = 2048
    cpu_threads: Positive = 1
    start_timeout_s: Positive = 300
    drain_s: Count = 10
    max_restarts: Count = 3
    endpoint: str = ""
    environment: str = ""
    runtime: Literal["", "echo"] = ""
    rows_independent: bool = False
    nan_literal: bool = False
    build_requirements: list[str] = []
    network: bool = False
    sandbox_level_min: SandboxLevel = "none"


class AgentGoal(Struct, frozen=True):
    """Everything that should run on the agent's machine; what is not named is stopped.

    `goal` is the site's name for it.
    """

    replicas: Annotated[list[ReplicaGoal], Meta(max_length=REPLICAS_MAX)]
    goal: HeaderText = ""
