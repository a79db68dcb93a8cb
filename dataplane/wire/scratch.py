"""What a gate asks of a scratch run, and the lines that the run answers with (docs/wire.md section 9)."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from dataplane.wire.sandbox import SandboxLevel
from dataplane.wire.shapes import Count, HeaderText, Number, Positive, Text

LINE_MAX_BYTES = 8 * 1024 * 1024
BODY_MAX_CHARS = 1024 * 1024  # of an answer that is compared
BODY_SENT_MAX_CHARS = 256 * 1024  # of an input example
REQUIREMENTS_MAX = 600
INSTALLED_MAX = 2_000

Requirements = Annotated[list[Annotated[str, Meta(max_length=400)]], Meta(max_length=REQUIREMENTS_MAX)]


class ScratchTask(Struct, frozen=True):
    """What is to be done with a version away from everything that serves: `install` its requirements, let a worker
    `answer` a body twice, or put a `load` of so many requests a second on one. A machine whose sandboxes are worse than
    `sandbox_level_min` starts no worker. An answer is waited for `patience_ms`, of a load the last ones.
    """

    kind: Literal["install", "answer", "load"]
    within_s: Positive
    requirements: Requirements = []
    build_requirements: Requirements = []
    python: HeaderText = ""
    model: str = ""
    version: HeaderText = ""
    digest: HeaderText = ""
    artifacts: str = ""
    body: Annotated[str, Meta(max_length=BODY_SENT_MAX_CHARS)] = ""
    memory_mb: Positive = 2048
    disk_mb: Positive = 10_240
    rate: Positive = 1
    seconds: Positive = 1
    patience_ms: Positive = 60_000
    sandbox_level_min: SandboxLevel = "none"


class ScratchAnswer(Struct, frozen=True):
    """One answer of a worker, cut where it is too long to be compared."""

    status: Count
    body: Annotated[str, Meta(max_length=BODY_MAX_CHARS)] = ""
    is_cut: bool = False


class LoadFigures(Struct, frozen=True):
    """What came of a load. Latencies are counted from the moment at which a request was due, so that one that waits
    for another is not forgotten. `late` are those that the asking side itself sent too late; `unanswered` had no answer
    when the patience ended.
    """

    planned: Count
    answered: Count
    errors: Count
    unanswered: Count
    late: Count
    p50_ms: Number
    p95_ms: Number
    p99_ms: Number
    first_error: Text = ""


class ScratchLine(Struct, frozen=True, omit_defaults=True):
    """One line of a run: how far it is, or with `end` its outcome. `failed` is the version's fault, `unable` says that
    this machine could not look.
    """

    progress: Text = ""
    end: Literal["", "done", "failed", "unable"] = ""
    sentence: Text = ""
    installed: Annotated[list[HeaderText], Meta(max_length=INSTALLED_MAX)] = []
    has_own_environment: bool = False
    sandbox: Text = ""
    answers: list[ScratchAnswer] = []
    load: LoadFigures | None = None
