"""One request as it is traced, and the span of its client that it lies in."""

import re
from typing import NamedTuple

# https://www.w3.org/TR/trace-context/#traceparent-header; version ff and identifiers of zeros are invalid
TRACEPARENT = re.compile(rb"^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:$|-)")
FAILED = frozenset({"server_errors", "timeouts"})


class TraceParent(NamedTuple):
    """The span of the client within which a request was made."""

    trace: str
    span: str
    is_sampled: bool


class TracedRequest(NamedTuple):
    """A request that has ended. `ended_at` is Unix time, `sent_s` from its begin to the worker; None: it never went.

    `took_us` is what its worker says; `reason` why it is kept.
    """

    reason: str
    ended_at: float
    seconds: float
    sent_s: float | None
    took_us: int | None
    batch_size: int
    replica: str
    tries: int
    id: bytes
    traceparent: bytes
    environment: str
    endpoint: str
    arm: str
    version: str
    release: str
    op: str
    status: int
    outcome: str


def parent_of(traceparent: bytes) -> TraceParent | None:
    """What a `traceparent` header says, None when there is none or it is malformed."""
    found = TRACEPARENT.match(traceparent)
    if found is None:
        return None
    trace, span, flags = (part.decode() for part in found.groups())
    return TraceParent(trace, span, bool(int(flags, 16) & 1))
