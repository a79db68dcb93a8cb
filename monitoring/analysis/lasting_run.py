"""The run of newest seconds in which nearly all of the candidate's requests are events and the stable arm's are not.

A version that breaks after a long good time is one change among many seconds, as a stall is; it differs by lasting.
"""

from dataclasses import dataclass

RUN_SHARE = 0.9
BASELINE_SHARE_MAX = 0.5  # with more, what happens there happens to both


@dataclass(frozen=True)
class LastingRun:
    """How long the run is, its requests, and who asked: unit buckets as bits, requests without a unit as a count."""

    seconds: int = 0
    requests: int = 0
    bucket_bits: int = 0
    alone: int = 0

    def folded(self, candidate: tuple[int, int], baseline: tuple[int, int], buckets: frozenset[int]) -> "LastingRun":
        """With one more block of (requests, events); one without candidate requests neither ends nor lengthens it.

        `buckets` are those of the candidate's requests; without any the requests named no unit.
        """
        n, k = candidate
        if not n:
            return self
        if k < RUN_SHARE * n or (baseline[0] and baseline[1] >= BASELINE_SHARE_MAX * baseline[0]):
            return LastingRun()
        bits = self.bucket_bits
        for bucket in buckets:
            bits |= 1 << bucket
        return LastingRun(self.seconds + 1, self.requests + n, bits, self.alone + (0 if buckets else n))

    @property
    def sources(self) -> int:
        """How many different ones asked, at least."""
        return self.bucket_bits.bit_count() + self.alone
