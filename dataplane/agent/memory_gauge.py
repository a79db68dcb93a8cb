"""A worker's own memory: weighed exactly only when it can have changed much, because that is dear."""

import time

from dataplane.agent.worker_process import Record

STEP_MB = 8
WEIGH_EVERY_S = 30.0  # pages that a worker no longer shares, or that were swapped, do not show in what is resident


class MemoryGauge:
    """Weighs one worker."""

    def __init__(self, record: Record, limit_mb: int) -> None:
        self.limit_mb = limit_mb
        self._record = record
        self._resident_mb = self._own_mb = 0
        self._next = 0.0

    def own_mb(self) -> int:
        """The memory that is the worker's own, in MB; beyond the limit it is exact."""
        resident_mb, now = self._record.resident_mb(), time.monotonic()
        has_changed = abs(resident_mb - self._resident_mb) >= STEP_MB
        if has_changed or resident_mb > self.limit_mb or now >= self._next:
            self._resident_mb, self._next = resident_mb, now + WEIGH_EVERY_S
            self._own_mb = self._record.memory_mb()
        return self._own_mb
