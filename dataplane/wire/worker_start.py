"""How a worker is started: what the agent asks of a warm template, and what template and worker say (docs/wire.md
section 5).
"""

from typing import Annotated

from msgspec import Meta, Struct

from dataplane.wire.sandbox import SandboxSpec
from dataplane.wire.shapes import Positive

FORK_REQUEST_MAX_BYTES = 64 * 1024
EVENT_TEXT_MAX_CHARS = 2000
GO = b"go"  # the agent's word, after it has written a forked worker down

EventText = Annotated[str, Meta(max_length=EVENT_TEXT_MAX_CHARS)]


class ForkRequest(Struct, frozen=True):
    """The module that the worker runs with its arguments, and the sandbox it runs in.

    With it go the descriptors of the worker's channels: talk, log, events, and the socket it answers on.
    """

    module: str
    arguments: list[str]
    sandbox: SandboxSpec
    threads: Positive = 1


class ForkAnswer(Struct, frozen=True, omit_defaults=True):
    """The worker is there, in its sandbox, and begins at the agent's word; or why there is none.

    Who it is the kernel says, as it does with every message of a unix socket.
    """

    error: EventText = ""


class StartEvent(Struct, frozen=True):
    """One line of a worker or a template on its channel for events: `loading`, `warming`, `warmed`, `ready`, `failed`
    or `unfit`.
    """

    event: EventText
    error: EventText = ""
