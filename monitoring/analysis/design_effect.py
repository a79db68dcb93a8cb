"""What requests are worth as evidence: the design effect, by how much the variance of an arm's share exceeds the
binomial one because its requests are not independent. n requests are worth n / d independent ones (Rao and Scott 1992).

Two estimates, of how events cluster by unit and by time, are added as in two-way clustering (Cameron, Gelbach, Miller
2011: V = V_unit + V_time − V_binomial; what clusters by both is counted twice, on the safe side).

* By unit. Units are drawn to arms, so how their requests cluster is the same in both and is pooled; but never less than
  what the candidate's own buckets show. Few busy buckets say nothing about their own variance, so the fewer there are
  the more of their distance from the share of both arms counts.
* In time. For blocks of each length, the variance of the sum of e_t = (k_c − p_c n_c) / N_c − (k_b − p_b n_b) / N_b: a
  stall of both arms at once cancels in it. The correlation within a block is the one that explains this variance, and
  each arm's effect follows from the size of its own blocks: a stall of the busy stable arm is one stall too, and before
  one of its was seen it is expected to have them as the candidate does. The length with the largest variance counts.
"""

import math
from dataclasses import dataclass

from monitoring.analysis.time_sums import LENGTHS_S, LengthSums, TimeSums
from monitoring.analysis.unit_sums import BucketSums

BLOCKS_MIN = 8  # of a length, before its variance is believed
SPREAD_FEW = 4.0  # busy buckets that cannot say how much they vary
UNIT_NOISE = 1.5  # standard errors of a variance of buckets that are taken for noise; tuned by simulation


@dataclass(frozen=True)
class ArmSums:
    """The totals of one arm and its unit buckets."""

    n: int
    k: int
    buckets: BucketSums

    @property
    def share(self) -> float:
        return self.k / self.n if self.n else 0.0

    @property
    def binomial(self) -> float:
        """The binomial variance of one request, p (1 − p)."""
        return self.share * (1 - self.share)


@dataclass(frozen=True)
class DesignEffect:
    """By how much each arm's requests are too many; 1 where they are independent."""

    candidate: float = 1.0
    baseline: float = 1.0

    def at_least(self, other: "DesignEffect") -> "DesignEffect":
        """The larger effect of each arm."""
        return DesignEffect(max(self.candidate, other.candidate), max(self.baseline, other.baseline))


@dataclass(frozen=True)
class Dependence:
    """How requests hang together: by unit, as each arm's effect; in time, as the correlation within blocks of
    `length_s` seconds.
    """

    unit_candidate: float = 1.0
    unit_baseline: float = 1.0
    correlation: float = 0.0
    length_s: int = 1


def dependence(candidate: ArmSums, baseline: ArmSums, time: TimeSums) -> Dependence:
    """How the requests of the arms hang together."""
    return Dependence(*_by_unit(candidate, baseline), *_in_time(candidate, baseline, time))


def design_effect(hang: Dependence, candidate: ArmSums, baseline: ArmSums, time: TimeSums) -> DesignEffect:
    """The design effect of each arm if its requests hang together so, at least 1 and at most its requests; its blocks
    say how much a correlation in time is worth.
    """
    blocks = time.lengths[LENGTHS_S.index(hang.length_s)].closed()
    time_c, time_b = (1 + more * hang.correlation for more in _beside(candidate, baseline, blocks))
    return DesignEffect(
        min(hang.unit_candidate + time_c - 1, max(candidate.n, 1)),
        min(hang.unit_baseline + time_b - 1, max(baseline.n, 1)),
    )


def _by_unit(candidate: ArmSums, baseline: ArmSums) -> tuple[float, float]:
    variances = [_unit_variance(arm) for arm in (candidate, baseline)]
    binomial = candidate.binomial * candidate.n + baseline.binomial * baseline.n
    if not binomial:
        return 1.0, 1.0
    pooled = max(1.0, sum(variances) / binomial - _noise(baseline))
    return max(pooled, _own_by_unit(candidate, baseline, variances[0]) - _noise(candidate)), pooled


def _unit_variance(arm: ArmSums) -> float:
    """The variance of the arm's events by bucket; requests without a unit are drawn one by one."""
    filled = arm.buckets.filled
    alone = arm.binomial * (arm.n - sum(arm.buckets.n))
    return arm.buckets.residual_squares(arm.share) * _unbiased(filled) + alone


def _own_by_unit(candidate: ArmSums, baseline: ArmSums, variance: float) -> float:
    own = variance / (candidate.binomial * candidate.n) if candidate.binomial else 1.0
    share = (candidate.k + baseline.k) / (candidate.n + baseline.n)
    binomial = share * (1 - share)
    spread = candidate.buckets.spread(candidate.n)
    if not binomial or not candidate.n:
        return own
    alone = candidate.n - sum(candidate.buckets.n)
    beside = candidate.buckets.residual_squares(share) / (binomial * candidate.n) + alone / candidate.n
    return own + min(1.0, SPREAD_FEW / spread) * max(0.0, beside - own)


def _noise(arm: ArmSums) -> float:
    return UNIT_NOISE * math.sqrt(2 / max(arm.buckets.filled, 2))


def _unbiased(clusters: int) -> float:
    return clusters / (clusters - 1) if clusters > 1 else 1.0


def _in_time(candidate: ArmSums, baseline: ArmSums, time: TimeSums) -> tuple[float, int]:
    """The correlation that explains the largest variance, and the length of the blocks that have it."""
    binomial = sum(arm.binomial / arm.n for arm in (candidate, baseline) if arm.n)
    most, found = 1.0, (0.0, 1)
    for length_s, length in zip(LENGTHS_S, time.lengths, strict=True):
        sums = length.closed()
        if not binomial or sums.blocks < (2 if length_s == 1 else BLOCKS_MIN):
            break
        ratio = _difference_variance(candidate, baseline, sums) / binomial
        if ratio > most:
            most, found = ratio, (_correlation(candidate, baseline, sums, (ratio - 1) * binomial), length_s)
    return found


def _difference_variance(candidate: ArmSums, baseline: ArmSums, sums: LengthSums) -> float:
    """The variance of the difference of the shares by the blocks of one length, around the shares of now."""
    kk_c, kn_c, nn_c, kk_b, kn_b, nn_b, kk, k_n, n_k, nn = sums.products
    p_c, p_b, n_c, n_b = candidate.share, baseline.share, max(candidate.n, 1), max(baseline.n, 1)
    own = (kk_c - 2 * p_c * kn_c + p_c * p_c * nn_c) / n_c**2 + (kk_b - 2 * p_b * kn_b + p_b * p_b * nn_b) / n_b**2
    common = (kk - p_b * k_n - p_c * n_k + p_c * p_b * nn) / (n_c * n_b)
    return (own - 2 * common) * _unbiased(sums.blocks)


def _beside(candidate: ArmSums, baseline: ArmSums, sums: LengthSums) -> tuple[float, float]:
    """How many others a request of each arm has in its block on average, Σn² / Σn − 1."""
    return (
        max(sums.products[2] / max(candidate.n, 1) - 1, 0.0),
        max(sums.products[5] / max(baseline.n, 1) - 1, 0.0),
    )


def _correlation(candidate: ArmSums, baseline: ArmSums, sums: LengthSums, excess: float) -> float:
    """The ρ of both arms' effects 1 + (m − 1) ρ, m = Σn² / Σn, that explains the excess of the variance."""
    more = _beside(candidate, baseline, sums)
    weight = sum(arm.binomial * size / arm.n for arm, size in zip((candidate, baseline), more, strict=True) if arm.n)
    return excess / weight if weight else 0.0
