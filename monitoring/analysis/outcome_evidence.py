"""What outcomes that clients report later say of two arms: shares and means, compared at any time. Pure.

Outcomes come late, in any order, some are corrected and many never come, so at each look the evidence is made of all
that are there: sums by block of time and by unit bucket. The worse side is what counts: with `larger_is` better, a
smaller value is worse.

* Binary outcomes are the judge's own case: each is an event, folded into a `Tally` in the order of the requests.
* Numbers lie within declared bounds, and each arm's mean gets the predictable plug-in empirical-Bernstein confidence
  sequence (Waudby-Smith and Ramdas 2024, theorem 2): with bets λ_t that are made of earlier blocks only,

      (Σ λ_t x_t ± (log(2/α) + Σ (x_t - m_{t-1})² (-log(1 - λ_t) - λ_t))) / Σ λ_t

  covers the mean at all times at once with probability 1 - α. One bet holds for a whole block, so sums of values and
  squares are enough. Observations are counted at what they are worth, divided by their design effect: for independent
  ones that is the theorem, else it rests on an estimated variance, as with the judge (ADR 0015).

The difference has the ends of both arms at α/2 each, by the union bound.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from monitoring.analysis.sequential import Interval, difference_interval
from monitoring.analysis.tally import ArmEvents, Tally

BET_MAX = 0.5  # λ, as the paper advises
PRIOR_VARIANCE, PRIOR_MEAN = 0.25, 0.5  # of a value scaled to 0 … 1 before any was seen: the largest it can have
HARM_INTERVAL_PART = 0.2  # of a binary outcome's α; its evidence has the rest
CLUSTER_LENGTHS = (1, 2, 4, 8)  # blocks that are taken together to see how values cluster in time
CLUSTERS_MIN = 8
SPLIT_ALARM = 1e-3  # the chance to say of outcomes that come alike that they do not
SPLIT_PRIOR = 16.0  # outcomes at which the test of the split is sharpest


@dataclass(frozen=True)
class ValueSums:
    """How many outcomes there are, and the sums of their values and of the squares."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def plus(self, other: "ValueSums") -> "ValueSums":
        return ValueSums(self.n + other.n, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        return self.total / self.n if self.n else 0.0

    def spread_around(self, middle: float) -> float:
        """Σ (x - middle)²."""
        return max(0.0, self.squares - 2 * middle * self.total + self.n * middle * middle)


@dataclass(frozen=True)
class ArmValues:
    """The outcomes of one arm: by block of time, and for those that named a unit by block and unit bucket."""

    blocks: Mapping[int, ValueSums]
    buckets: Mapping[tuple[int, int], ValueSums]

    @property
    def total(self) -> ValueSums:
        return added(self.blocks.values())

    @property
    def by_bucket(self) -> dict[int, ValueSums]:
        """The outcomes of each unit bucket over all blocks."""
        found: dict[int, ValueSums] = {}
        for (_, bucket), sums in self.buckets.items():
            found[bucket] = found.get(bucket, ValueSums()).plus(sums)
        return found


@dataclass(frozen=True)
class ValueScale:
    """The bounds of the values, and which side of them is the worse one."""

    low: float
    high: float
    larger_is: Literal["better", "worse"]

    def worse(self, sums: ValueSums) -> ValueSums:
        """The sums of the same values on a scale from 0, the best, to 1, the worst."""
        width = self.high - self.low
        middle = self.low if self.larger_is == "worse" else self.high
        sign = 1 if self.larger_is == "worse" else -1
        return ValueSums(sums.n, sign * (sums.total - sums.n * middle) / width, sums.spread_around(middle) / width**2)

    def arm(self, arm: ArmValues) -> ArmValues:
        """The same arm on that scale."""
        return ArmValues(
            {block: self.worse(sums) for block, sums in arm.blocks.items()},
            {place: self.worse(sums) for place, sums in arm.buckets.items()},
        )


@dataclass(frozen=True)
class OutcomeEvidence:
    """How much worse the candidate is, on the scale from 0 to 1.

    `interval` is of candidate minus baseline. `log_e` is the evidence against "not worse", None where the interval
    alone says it. `worth` are the independent outcomes that each arm's are worth. `is_steady` is whether there are
    enough blocks to say how outcomes hang together: before it nothing is proven.
    """

    candidate: ValueSums
    baseline: ValueSums
    interval: Interval
    worth: tuple[float, float]
    is_steady: bool
    log_e: float | None = None

    @property
    def difference(self) -> float | None:
        return self.candidate.mean - self.baseline.mean if self.candidate.n and self.baseline.n else None


def added(parts: Iterable[ValueSums]) -> ValueSums:
    """The sums over several parts."""
    whole = ValueSums()
    for part in parts:
        whole = whole.plus(part)
    return whole


def binary_evidence(candidate: ArmValues, baseline: ArmValues, alpha: float) -> OutcomeEvidence:
    """What outcomes of 0 and 1 (the worse one) say at the level `alpha`: the lower end of the interval, which can prove
    harm, has `HARM_INTERVAL_PART` of it, and the evidence the rest; the upper end has all of it, as harm is not
    called by it.
    """
    tally = Tally()
    for block in sorted({*candidate.blocks, *baseline.blocks}):
        tally = tally.folded(block + 1, _events(candidate, block), _events(baseline, block))
    effect = tally.effect
    worth = tally.candidate_n / effect.candidate, tally.baseline_n / effect.baseline
    counts_c = (worth[0], tally.candidate_k / effect.candidate)
    counts_b = (worth[1], tally.baseline_k / effect.baseline)
    return OutcomeEvidence(
        candidate=candidate.total,
        baseline=baseline.total,
        interval=Interval(
            difference_interval(counts_c, counts_b, HARM_INTERVAL_PART * alpha).low,
            difference_interval(counts_c, counts_b, alpha).high,
        ),
        worth=worth,
        is_steady=tally.is_steady,
        log_e=tally.log_e(effect),
    )


def _events(arm: ArmValues, block: int) -> ArmEvents:
    sums = arm.blocks.get(block, ValueSums())
    buckets = {
        bucket: (part.n, round(part.total)) for (when, bucket), part in arm.buckets.items() if when == block and part.n
    }
    return ArmEvents(sums.n, round(sums.total), buckets)


def number_evidence(candidate: ArmValues, baseline: ArmValues, alpha: float) -> OutcomeEvidence:
    """What values from 0 to 1 (the worst) say; `alpha` is the level of the interval."""
    effects = value_design_effect(candidate), value_design_effect(baseline)
    one = mean_interval(candidate.blocks, effects[0], alpha / 2)
    other = mean_interval(baseline.blocks, effects[1], alpha / 2)
    return OutcomeEvidence(
        candidate=candidate.total,
        baseline=baseline.total,
        interval=Interval(one.low - other.high, one.high - other.low),
        worth=(candidate.total.n / effects[0], baseline.total.n / effects[1]),
        is_steady=sum(sums.n > 0 for sums in candidate.blocks.values()) >= CLUSTERS_MIN,
    )


def mean_interval(blocks: Mapping[int, ValueSums], effect: float, alpha: float) -> Interval:
    """The confidence sequence of the mean of values from 0 to 1, in the order of their blocks; [0, 1] without any."""
    seen, weights, weighted, penalty = 0.0, 0.0, 0.0, 0.0
    mean, variance, squares, total = PRIOR_MEAN, PRIOR_VARIANCE, 0.0, 0.0
    for block in sorted(blocks):
        sums = blocks[block]
        worth = sums.n / effect
        reached = max(seen + worth, 1.0)
        bet = min(BET_MAX, math.sqrt(2 * math.log(2 / alpha) / (variance * reached * math.log1p(reached))))
        weights += bet * worth
        weighted += bet * sums.total / effect
        penalty += sums.spread_around(mean) / effect * (-math.log1p(-bet) - bet)
        squares += sums.spread_around(mean) / effect
        seen, total = seen + worth, total + sums.total / effect
        mean = (PRIOR_MEAN + total) / (1 + seen)
        variance = (PRIOR_VARIANCE + squares) / (1 + seen)
    if not weights:
        return Interval(0.0, 1.0)
    middle, radius = weighted / weights, (math.log(2 / alpha) + penalty) / weights
    return Interval(max(0.0, middle - radius), min(1.0, middle + radius))


def value_design_effect(arm: ArmValues) -> float:
    """By how much the values of an arm are too many, at least 1: how far sums by unit and by stretch of time spread
    beyond what independent values would, added as in two-way clustering.
    """
    whole = arm.total
    spread = whole.spread_around(whole.mean)
    if whole.n < 2 or spread <= 0:
        return 1.0
    units = arm.by_bucket
    alone = max(0.0, spread - sum(sums.spread_around(whole.mean) for sums in units.values()))
    by_unit = max(1.0, (_between(units.values(), whole.mean) + alone) / spread) if len(units) > 1 else 1.0
    by_time = max([1.0, *(_clustered(arm.blocks, length, whole.mean) / spread for length in CLUSTER_LENGTHS)])
    return min(by_unit + by_time - 1, float(whole.n))


def _clustered(blocks: Mapping[int, ValueSums], length: int, mean: float) -> float:
    groups: dict[int, ValueSums] = {}
    for block, sums in blocks.items():
        groups[block // length] = groups.get(block // length, ValueSums()).plus(sums)
    return _between(groups.values(), mean) if len(groups) >= CLUSTERS_MIN else 0.0


def _between(groups: Iterable[ValueSums], mean: float) -> float:
    """Σ (sum of the group - n mean)², free of the bias of few groups."""
    parts = [(sums.total - sums.n * mean) ** 2 for sums in groups if sums.n]
    return sum(parts) * len(parts) / (len(parts) - 1) if len(parts) > 1 else 0.0


@dataclass(frozen=True)
class Coverage:
    """How many requests of an arm have an outcome."""

    outcomes: int
    requests: int

    @property
    def share(self) -> float | None:
        return min(1.0, self.outcomes / self.requests) if self.requests else None


def is_reported_unlike(strata: Iterable[tuple[tuple[int, int], tuple[int, int]]]) -> bool:
    """Whether outcomes come from the arms in other parts than their requests: those that are missing may then be the
    bad ones of one arm, and what is there proves nothing.

    A stratum is a stretch of time with (outcomes, requests) of the candidate and of the baseline, so that lateness and
    rising weights, which are the same for both arms of a stretch, do not accuse anybody. Given an outcome of a stretch,
    it is the candidate's with its part of the requests; the sum of what is beyond that, with the variance between
    stretches where that is larger, is held against the normal mixture bound (Robbins 1970), which holds at all times at
    once.
    """
    excesses, variances = [], []
    for (outcomes_c, requests_c), (outcomes_b, requests_b) in strata:
        if requests_c and requests_b and outcomes_c + outcomes_b:
            part = requests_c / (requests_c + requests_b)
            excesses.append(outcomes_c - (outcomes_c + outcomes_b) * part)
            variances.append((outcomes_c + outcomes_b) * part * (1 - part))
    if not variances:
        return False
    beyond, variance = sum(excesses), sum(variances)
    residuals = (excess - beyond * own / variance for excess, own in zip(excesses, variances, strict=True))
    whole = max(variance, sum(residual * residual for residual in residuals)) + SPLIT_PRIOR
    return beyond * beyond / (2 * whole) - math.log(whole / SPLIT_PRIOR) / 2 >= math.log(1 / SPLIT_ALARM)
