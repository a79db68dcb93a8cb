"""What is folded for a guardrail on a quantile: both arms' histograms, and how slow requests hang together in time.

How much requests are worth is measured as for shares: the events are those slower than the stable arm's own quantile,
as it was when the stable arm had answered `PACE_REQUESTS`. From then on the measure stays, so that its sums are kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dataplane.wire.histogram import value_of
from monitoring.analysis.judge import Block
from monitoring.analysis.quantile_evidence import Latencies
from monitoring.analysis.tally import ArmEvents, Tally
from monitoring.analysis.warm_up import WarmUp

PACE_REQUESTS = 50

type_Buckets = Mapping[int, int]


@dataclass(frozen=True)
class LatencyTally:
    """Counts by bucket of both arms; `slow` is the bucket above which a request is slow, None until it is measured."""

    quantile: float
    candidate: type_Buckets = field(default_factory=dict)
    baseline: type_Buckets = field(default_factory=dict)
    slow: int | None = None
    tally: Tally = field(default_factory=lambda: Tally(warm_up=WarmUp()))

    def folded(self, block: Block) -> "LatencyTally":
        """The tally after one more block. When a warm-up of the candidate was measured, it begins again with this."""
        second = block.start or self.tally.time.second + 1
        baseline = _sum(self.baseline, block.baseline.latency)
        slow = self.slow if self.slow is not None else _pace(baseline, self.quantile)
        tally = self.tally
        if slow is not None:
            tally = tally.folded(second, _events(block.candidate.latency, slow), _events(block.baseline.latency, slow))
        if self._begins_again(tally):
            return LatencyTally(self.quantile, dict(block.candidate.latency), dict(block.baseline.latency), slow, tally)
        candidate = _sum(self.candidate, block.candidate.latency)
        return LatencyTally(self.quantile, candidate, baseline, slow, tally)

    def _begins_again(self, tally: Tally) -> bool:
        before, after = self.tally.warm_up, tally.warm_up
        return bool(after and after.left_out_s and before and not before.left_out_s)

    @property
    def left_out_s(self) -> int:
        """The seconds of the candidate's warm-up, which are in no number."""
        return (self.tally.warm_up.left_out_s or 0) if self.tally.warm_up else 0

    def arms(self, candidate_effect: float, baseline_effect: float) -> tuple[Latencies, Latencies]:
        """Both arms' latencies in ms, worth what these effects and the measured ones say: the larger counts."""
        measured = self.tally.effect
        return (
            _latencies(self.candidate, max(candidate_effect, measured.candidate)),
            _latencies(self.baseline, max(baseline_effect, measured.baseline)),
        )

    def to_dict(self) -> dict[str, Any]:
        """The tally as JSON-able values."""
        return {
            "quantile": self.quantile,
            "candidate": {str(bucket): count for bucket, count in self.candidate.items()},
            "baseline": {str(bucket): count for bucket, count in self.baseline.items()},
            "slow": self.slow,
            "tally": self.tally.to_dict(),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "LatencyTally":
        """The tally that `to_dict` wrote."""
        return cls(
            stored["quantile"],
            {int(bucket): count for bucket, count in stored["candidate"].items()},
            {int(bucket): count for bucket, count in stored["baseline"].items()},
            stored["slow"],
            Tally.from_dict(stored["tally"]),
        )


def _sum(one: type_Buckets, other: type_Buckets) -> type_Buckets:
    return {bucket: one.get(bucket, 0) + other.get(bucket, 0) for bucket in {**one, **other}}


def _pace(baseline: type_Buckets, quantile: float) -> int | None:
    if sum(baseline.values()) < PACE_REQUESTS:
        return None
    return round(Latencies.of({float(bucket): count for bucket, count in baseline.items()}).quantile(quantile) or 0)


def _events(buckets: type_Buckets, slow: int) -> ArmEvents:
    return ArmEvents(sum(buckets.values()), sum(count for bucket, count in buckets.items() if bucket > slow))


def _latencies(buckets: type_Buckets, effect: float) -> Latencies:
    return Latencies.of({value_of(bucket): count for bucket, count in buckets.items()}, effect)
