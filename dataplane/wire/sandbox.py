"""What a sandboxed process may have (ADR 0010): the agent says it, whoever starts the process applies it."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from dataplane.wire.shapes import Count, Positive

READABLE_MAX = 500
PORTS_MAX = 1_000

SandboxLevel = Literal["none", "partly", "full"]
LEVELS: tuple[SandboxLevel, ...] = ("none", "partly", "full")
Port = Annotated[int, Meta(ge=1, le=65_535)]


class SandboxSpec(Struct, frozen=True):
    """One sandbox: what is read, where it lives and writes, and its limits; everything else is refused.

    `level` is applied whole or the process does not start: `full` has namespaces, a file tree and where possible a
    `user` of its own (0: none), `partly` what needs no rights, `none` limits only. `hidden` is never shown, whatever is
    readable around it; what of `readable` lies in it is shown all the same. With `groups` it reads the artifacts.

    Without `network` there is none; with it TCP connections go to `ports` only, where they are named, and with
    `datagrams` there is UDP as well. `has_init` keeps a process that cares for the others when the first of them has
    ended.
    """

    level: SandboxLevel
    home: str
    readable: Annotated[list[str], Meta(max_length=READABLE_MAX)] = []
    writable: list[str] = []
    hidden: list[str] = []
    home_bytes: Positive = 256 * 1024 * 1024
    file_bytes: Positive = 64 * 1024 * 1024
    data_bytes: Count = 0
    open_files: Positive = 1024
    tasks: Positive = 512
    user: Count = 0
    groups: list[Count] = []
    network: bool = False
    ports: Annotated[list[Port], Meta(max_length=PORTS_MAX)] | None = None
    datagrams: bool = False
    may_fork: bool = False
    has_init: bool = False


def is_at_least(level: str, wanted: SandboxLevel) -> bool:
    """Whether a level, as the word or as the sentence that begins with it, is as good as the wanted one."""
    word = level.partition(":")[0]
    return word in LEVELS and LEVELS.index(word) >= LEVELS.index(wanted)
