"""What a client gets over HTTP: a worker's answer, or a refusal."""

import asyncio
from typing import NamedTuple

from dataplane.gateway.core.inference import Outcome
from dataplane.gateway.errors import Refusal
from dataplane.gateway.http.calls import HEADER_LENGTH
from dataplane.gateway.metrics import Metrics

type_Pairs = tuple[tuple[bytes, bytes], ...]

JSON = b"application/json"


class HttpReply(NamedTuple):
    """An answer on its way out. `parts` brings the rest of a streamed body."""

    status: int
    content_type: bytes
    body: bytes
    headers: type_Pairs = ()
    parts: "asyncio.Queue[bytes | None] | None" = None


def reply_to(outcome: Outcome) -> HttpReply:
    """A worker's answer as the client gets it."""
    extra = outcome.arm.headers
    if outcome.outcome == "server_errors":
        extra = (*extra, (b"x-mlorch-outcome", b"server_error"))
    if outcome.header_length is not None:
        extra = (*extra, (HEADER_LENGTH, b"%d" % outcome.header_length))
    return HttpReply(outcome.status, outcome.content_type.encode("latin-1"), outcome.body, extra, outcome.parts)


def refused(metrics: Metrics, refusal: Refusal, *, is_oip: bool) -> HttpReply:
    """Count a refusal and return what the gateway itself answers."""
    metrics.refused(refusal.status)
    return HttpReply(refusal.status, JSON, refusal.body(oip=is_oip), refusal.headers)
