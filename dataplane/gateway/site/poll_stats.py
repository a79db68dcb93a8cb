"""What a gateway process tells the site of itself with every poll, for the pages people look at (docs/wire.md section 3)."""

import os
import resource
from typing import Any

from dataplane.gateway.core.lanes import Lane
from dataplane.gateway.state import State

LANES_MAX = 200


def stats_of(state: State) -> dict[str, Any]:
    """Return the numbers of this process and of its lanes, those with ejections and then busy ones first when there are too many."""
    lanes = sorted(
        state.lanes.items(), key=lambda item: (not item[1].replicas.ejections, -item[1].counts.sent_requests)
    )[:LANES_MAX]
    return {
        "pid": os.getpid(),
        "started_at": state.started_at,
        "memory_mb": _memory_mb(),
        "requests_total": state.requests_total,
        "spooled_batches": len(state.spool),
        "dropped_windows": state.spool.dropped_windows,
        "request_log": [[*place, count.written, count.dropped] for place, count in state.request_log.counts.items()],
        "shadow_dropped": [[*place, count] for place, count in state.shadow.dropped.items()],
        "refusals": sum(state.metrics.refusals.values()),
        "lanes": [_lane(key, lane) for key, lane in lanes],
    }


def _lane(key: tuple[str, str, str, str], lane: Lane) -> dict[str, Any]:
    counts = lane.counts
    return {
        **dict(zip(("environment", "endpoint", "arm", "version"), key, strict=True)),
        "queued": lane.queued,
        "in_flight": lane.replicas.in_flight(),
        "requests": sum(counts.outcomes.values()),
        "batches": counts.batches,
        "batch_sizes": {str(bound): count for bound, count in counts.batch_sizes.items()},
        "retries": counts.retries,
        "clients_gone": counts.dropped,
        "deadlines_exceeded": counts.expired,
        "release": lane.key.release,
        "ejected": lane.replicas.ejected,
        "ejections": lane.replicas.ejections,
    }


def _memory_mb() -> int:
    """Return the resident memory of this process now."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // (1024 * 1024)
