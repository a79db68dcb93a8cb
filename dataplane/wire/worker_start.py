"""How a worker is started: what the agent asks of a warm template, and what template and worker say (docs/wire.md
section 5).
"""

from typing import Annotated

from msgspec import Meta, Struct

from dataplane.wire.shapes import Count, Positive

FORK_REQUEST_MAX_BYTES = 64 * 1024
EVENT_TEXT_MAX_CHARS = 2000
GO = b"go"  # the agent's word, after it has written a forked worker down

EventText = Annotated[str, Meta(max_length=EVENT_TEXT_MAX_CHARS)]


class ForkRequest(Struct, frozen=True):
    """One line of JSON: the module that the worker runs with its arguments, where it writes and lives, and its
    limits.
    """

    module: str
    arguments: list[str]
    log: str
    home: str
    data_bytes: Positive
    threads: Positive = 1


class ForkAnswer(Struct, frozen=True, omit_defaults=True):
    """The process id of the forked worker, which begins at the agent's word; or why there is none."""

    pid: Count | None = None
    error: str = ""


class StartEvent(Struct, frozen=True):
    """One line of a worker or a template on its standard output: `loading`, `warming`, `warmed`, `ready`, `failed` or
    `unfit`.
    """

    event: EventText
    error: EventText = ""
