"""What is folded for one guardrail: totals, how the events cluster by unit and time, and the candidate's warm-up.

Everything is a count, or a sum of products of counts, so that the evidence is a function of the tally at any look.
"""

from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field, replace
from typing import Any

from monitoring.analysis.design_effect import ArmSums, Dependence, DesignEffect, dependence, design_effect
from monitoring.analysis.lasting_run import LastingRun
from monitoring.analysis.sequential import excess_log_e
from monitoring.analysis.time_sums import LengthSums, Strata, TimeSums
from monitoring.analysis.unit_sums import BucketSums
from monitoring.analysis.warm_up import WarmUp

SECONDS_MIN = (
    8  # with requests of the candidate, before the evidence is believed: fewer do not say how the seconds hang together
)
BASELINE_MIN_REQUESTS = 10  # of the stable arm, before anything is compared with it


@dataclass(frozen=True)
class ArmEvents:
    """Requests and events of one arm in one block, by unit bucket too where they named a unit."""

    n: int
    k: int
    buckets: Mapping[int, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Tally:
    """The sums of one guardrail.

    `candidate_seconds` are the blocks in which the candidate had requests; `warm_up` is None where none is looked for.
    """

    candidate_n: int = 0
    candidate_k: int = 0
    baseline_n: int = 0
    baseline_k: int = 0
    candidate_seconds: int = 0
    candidate_buckets: BucketSums = field(default_factory=BucketSums)
    baseline_buckets: BucketSums = field(default_factory=BucketSums)
    time: TimeSums = field(default_factory=TimeSums)
    warm_up: WarmUp | None = None
    run: LastingRun = field(default_factory=LastingRun)

    def folded(self, second: int, candidate: ArmEvents, baseline: ArmEvents) -> "Tally":
        """The tally after one more block; when a warm-up was measured it begins again with this block."""
        warm_up = self.warm_up and self.warm_up.folded(second, candidate.n, candidate.k)
        if warm_up and warm_up.left_out_s and self.warm_up and not self.warm_up.is_over:
            return Tally(warm_up=warm_up).folded(second, candidate, baseline)
        return Tally(
            candidate_n=self.candidate_n + candidate.n,
            candidate_k=self.candidate_k + candidate.k,
            baseline_n=self.baseline_n + baseline.n,
            baseline_k=self.baseline_k + baseline.k,
            candidate_seconds=self.candidate_seconds + (candidate.n > 0),
            candidate_buckets=self.candidate_buckets.folded(candidate.buckets),
            baseline_buckets=self.baseline_buckets.folded(baseline.buckets),
            time=self.time.folded(second, (candidate.n, candidate.k, baseline.n, baseline.k)),
            warm_up=warm_up,
            run=self.run.folded((candidate.n, candidate.k), (baseline.n, baseline.k), frozenset(candidate.buckets)),
        )

    def begins_after(self, before: "Tally") -> bool:
        """Whether the tally that was `before` was left out for a warm-up, and this one begins with the last block."""
        return bool(self.warm_up and self.warm_up.left_out_s and before.warm_up and not before.warm_up.is_over)

    @property
    def is_steady(self) -> bool:
        """Whether enough seconds were seen to tell how they hang together, and no warm-up is being measured."""
        return self.candidate_seconds >= SECONDS_MIN and (self.warm_up is None or self.warm_up.is_over)

    @property
    def dependence(self) -> Dependence:
        """How the requests hang together."""
        return dependence(*self._arms(), self.time)

    @property
    def effect(self) -> DesignEffect:
        """By how much the requests of each arm are too many."""
        return self.effect_of(self.dependence)

    def effect_of(self, hang: Dependence) -> DesignEffect:
        """By how much they would be too many if they hung together like those of another tally."""
        return design_effect(hang, *self._arms(), self.time)

    @property
    def joined_effect(self) -> float:
        """The design effect of all the traffic on one arm, whose blocks are as large as those of both together."""
        hang = self.dependence
        in_time = self.effect_of(replace(hang, unit_candidate=1.0, unit_baseline=1.0))
        unit = max(hang.unit_candidate, hang.unit_baseline)
        return unit + in_time.candidate - 1 + in_time.baseline - 1 + hang.correlation

    def _arms(self) -> tuple[ArmSums, ArmSums]:
        return (
            ArmSums(self.candidate_n, self.candidate_k, self.candidate_buckets),
            ArmSums(self.baseline_n, self.baseline_k, self.baseline_buckets),
        )

    def log_e(self, effect: DesignEffect) -> float:
        """The log of the evidence that the candidate's share is larger, from the stretches in which both arms answered;
        0 until there is enough of the stable arm and of seconds.
        """
        both = self.time.compared
        if not self.is_steady or both.baseline_n < BASELINE_MIN_REQUESTS:
            return 0.0
        part = both.candidate_n / (both.candidate_n + both.baseline_n)
        worth_c, worth_b = both.candidate_n / effect.candidate, both.baseline_n / effect.baseline
        events_c = both.candidate_score / (1 - part) / effect.candidate
        events_b = both.baseline_score / part / effect.baseline
        return excess_log_e(events_c, events_b, worth_c / (worth_c + worth_b))

    def to_dict(self) -> dict[str, Any]:
        """The tally as JSON-able values, its many counts as hexadecimal words: a row of a database that is written
        every second is kept small.
        """
        return {
            "totals": _packed([*self._totals()]),
            "buckets": [_packed(part) for part in self._bucket_parts()],
            "second": self.time.second,
            "lengths": [_packed([one.blocks, *one.open, *one.products]) for one in self.time.lengths],
            "strata": list(asdict(self.time.strata).values()),
            "warm_up": asdict(self.warm_up) if self.warm_up else None,
            "run": _packed(astuple(self.run)),
        }

    def _totals(self) -> tuple[int, ...]:
        return (self.candidate_n, self.candidate_k, self.baseline_n, self.baseline_k, self.candidate_seconds)

    def _bucket_parts(self) -> tuple[tuple[int, ...], ...]:
        of_candidate, of_baseline = self.candidate_buckets, self.baseline_buckets
        return (of_candidate.n, of_candidate.k, of_baseline.n, of_baseline.k)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Tally":
        """The tally that `to_dict` wrote."""
        n_c, k_c, n_b, k_b = (_unpacked(part) for part in stored["buckets"])
        lengths = []
        for text in stored["lengths"]:
            blocks, *rest = _unpacked(text)
            lengths.append(LengthSums(blocks, tuple(rest[4:]), (rest[0], rest[1], rest[2], rest[3])))
        warm_up = stored["warm_up"] and WarmUp(
            stored["warm_up"]["began"],
            tuple((n, k) for n, k in stored["warm_up"]["stretches"]),
            stored["warm_up"]["left_out_s"],
        )
        totals = _unpacked(stored["totals"])
        return cls(
            candidate_n=totals[0],
            candidate_k=totals[1],
            baseline_n=totals[2],
            baseline_k=totals[3],
            candidate_seconds=totals[4],
            candidate_buckets=BucketSums(n_c, k_c),
            baseline_buckets=BucketSums(n_b, k_b),
            time=TimeSums(tuple(lengths), Strata(*stored["strata"]), stored["second"]),
            warm_up=warm_up or None,
            run=LastingRun(*_unpacked(stored["run"])),
        )


def _packed(numbers: list[int] | tuple[int, ...]) -> str:
    """Numbers as hexadecimal words; nothing but zeros is their count alone."""
    return " ".join(f"{number:x}" for number in numbers) if any(numbers) else f"0*{len(numbers)}"


def _unpacked(text: str) -> tuple[int, ...]:
    if text.startswith("0*"):
        return (0,) * int(text[2:])
    return tuple(int(word, 16) for word in text.split())
