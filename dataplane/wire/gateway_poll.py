"""The gateway's long poll: what it says of itself, and what the site answers (docs/wire.md section 3)."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from dataplane.wire.shapes import (
    ENTRIES_MAX,
    Boot,
    Count,
    Name,
    Number,
    Revision,
    Text,
    UnixTime,
)

POLL_BODY_MAX_BYTES = 1024 * 1024
PEERS_MAX = 64
LANES_MAX = 1_000

Counts = Annotated[dict[Text, Count], Meta(max_length=ENTRIES_MAX)]
BatchBound = Annotated[int, Meta(ge=1, le=2**30)]


class RefusedTable(Struct, frozen=True):
    """A revision the gateway does not obey, and why."""

    revision: Revision = 0
    error: Text = ""


class LaneStats(Struct, frozen=True):
    """One arm's version at this gateway process: what waits and is in flight now, what was counted since the process
    began.

    `batch_sizes` maps a batch's size, rounded up to a power of two, to how many there were. `ejected` maps replica id →
    Unix time until which it is left alone, `ejections` replica id → how often it failed under the present release.
    """

    environment: Text = ""
    endpoint: Text = ""
    arm: Text = ""
    version: Text = ""
    release: Text = ""
    queued: Count = 0
    in_flight: Counts = {}
    requests: Count = 0
    batches: Count = 0
    batch_sizes: Annotated[dict[BatchBound, Count], Meta(max_length=ENTRIES_MAX)] = {}
    retries: Count = 0
    clients_gone: Count = 0
    deadlines_exceeded: Count = 0
    ejected: Annotated[dict[Text, Number], Meta(max_length=ENTRIES_MAX)] = {}
    ejections: Counts = {}


class GatewayStats(Struct, frozen=True):
    """Plain numbers of the process.

    `request_log` has rows of environment, endpoint, written, dropped; `shadow_dropped` environment, endpoint, count.
    """

    pid: Count = 0
    started_at: UnixTime = 0.0
    memory_mb: Count = 0
    requests_total: Count = 0
    spooled_batches: Count = 0
    dropped_windows: Count = 0
    refusals: Count = 0
    request_log: Annotated[list[tuple[Text, Text, Count, Count]], Meta(max_length=ENTRIES_MAX)] = []
    shadow_dropped: Annotated[list[tuple[Text, Text, Count]], Meta(max_length=ENTRIES_MAX)] = []
    lanes: Annotated[list[LaneStats], Meta(max_length=LANES_MAX)] = []


class PollReport(Struct, frozen=True):
    """`boot` names the process, `peers` the boots of the other processes of this gateway that live; `have` acknowledges
    revisions.

    `in_flight` counts the open requests of all replicas, also of those no table names any more.
    """

    boot: Boot
    peers: Annotated[list[Boot], Meta(max_length=PEERS_MAX)] = []
    have: Annotated[dict[Text, Revision], Meta(max_length=ENTRIES_MAX)] = {}
    refused: Annotated[dict[Text, RefusedTable], Meta(max_length=ENTRIES_MAX)] = {}
    in_flight: Counts = {}
    wait_s: Number = 0.0
    stats: GatewayStats = GatewayStats()

    @property
    def known(self) -> dict[str, int]:
        """Environment → the revision the gateway needs no more of: what it obeys, or the newer one it refused."""
        return {**self.have, **{name: refused.revision for name, refused in self.refused.items()}}


class PollAnswer(Struct, frozen=True):
    """The tables that are newer than what the gateway has, each to be read for itself, and all environments that there
    are.
    """

    tables: list[Any]
    environments: list[Name]
