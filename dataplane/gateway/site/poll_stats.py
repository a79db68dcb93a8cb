"""What a gateway process tells the site of itself with every poll, for the pages people look at (docs/wire.md section
3).
"""

import os
import resource

from dataplane.gateway.core.lanes import Lane
from dataplane.gateway.state import State
from dataplane.wire.gateway_poll import GatewayStats, LaneStats

LANES_TOLD_MAX = 200


def stats_of(state: State) -> GatewayStats:
    """The numbers of this process and of its lanes, those with ejections and then busy ones first when there are too
    many.
    """
    lanes = sorted(
        state.lanes.items(), key=lambda item: (not item[1].replicas.ejections, -item[1].counts.sent_requests)
    )[:LANES_TOLD_MAX]
    return GatewayStats(
        pid=os.getpid(),
        started_at=state.started_at,
        memory_mb=_memory_mb(),
        requests_total=state.requests_total,
        spooled_batches=len(state.spool),
        dropped_windows=state.spool.dropped_windows,
        refusals=sum(state.metrics.refusals.values()),
        request_log=[(*place, count.written, count.dropped) for place, count in state.request_log.counts.items()],
        shadow_dropped=[(*place, count) for place, count in state.shadow.dropped.items()],
        lanes=[_lane(lane) for _, lane in lanes],
    )


def _lane(lane: Lane) -> LaneStats:
    counts = lane.counts
    return LaneStats(
        **lane.key._asdict(),
        queued=lane.queued,
        in_flight=lane.replicas.in_flight(),
        requests=sum(counts.outcomes.values()),
        batches=counts.batches,
        batch_sizes=counts.batch_sizes,
        retries=counts.retries,
        clients_gone=counts.dropped,
        deadlines_exceeded=counts.expired,
        ejected=lane.replicas.ejected,
        ejections=lane.replicas.ejections,
    )


def _memory_mb() -> int:
    """The resident memory of this process now."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // (1024 * 1024)
