"""What requests are worth as evidence: the design effect, by how much the variance of an arm's share exceeds the
binomial one because its requests are not independent. n requests are worth n / d independent ones (Rao and Scott 1992).

Two estimates, of how events cluster by unit and by time, are added as in two-way clustering (Cameron, Gelbach, Miller
2011: V = V_unit + V_time − V_binomial; what clusters by both is counted twice, on the safe side).

* By unit. Units are drawn to arms, so how their requests cluster is the same in both and is pooled; but never less than
  what the candidate's own buckets show. Few busy buckets say nothing about their own variance, so the fewer there are
  the more of their distance from the share of both arms counts.
* By time. For blocks of each length, the variance of the sum of e_t = (k_c − p_c n_c) / N_c − (k_b − p_b n_b) / N_b: a
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
    """By how much each arm's requests are too many; 1 where they are independent. `length_s` are the seconds of the
    blocks that counted.
    """

    candidate: float = 1.0
    baseline: float = 1.0
    length_s: int = 1


def design_effect(candidate: ArmSums, baseline: ArmSums, time: TimeSums) -> DesignEffect:
    """The design effect of each arm, at least 1 and at most its requests."""
    unit_c, unit_b = _by_unit(candidate, baseline)
    time_c, time_b, length_s = _by_time(candidate, baseline, time)
    return DesignEffect(
        min(unit_c + time_c - 1, max(candidate.n, 1)), min(unit_b + time_b - 1, max(baseline.n, 1)), length_s
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


def _by_time(candidate: ArmSums, baseline: ArmSums, time: TimeSums) -> tuple[float, float, int]:
    binomial = sum(arm.binomial / arm.n for arm in (candidate, baseline) if arm.n)
    most, found = 1.0, (1.0, 1.0, 1)
    for length_s, length in zip(LENGTHS_S, time.lengths, strict=True):
        sums = length.closed()
        if not binomial or sums.blocks < (2 if length_s == 1 else BLOCKS_MIN):
            break
        ratio = _difference_variance(candidate, baseline, sums) / binomial
        if ratio > most:
            most, found = ratio, (*_shared_out(candidate, baseline, sums, (ratio - 1) * binomial), length_s)
    return found


def _difference_variance(candidate: ArmSums, baseline: ArmSums, sums: LengthSums) -> float:
    """The variance of the difference of the shares by the blocks of one length, around the shares of now."""
    kk_c, kn_c, nn_c, kk_b, kn_b, nn_b, kk, k_n, n_k, nn = sums.products
    p_c, p_b, n_c, n_b = candidate.share, baseline.share, max(candidate.n, 1), max(baseline.n, 1)
    own = (kk_c - 2 * p_c * kn_c + p_c * p_c * nn_c) / n_c**2 + (kk_b - 2 * p_b * kn_b + p_b * p_b * nn_b) / n_b**2
    common = (kk - p_b * k_n - p_c * n_k + p_c * p_b * nn) / (n_c * n_b)
    return (own - 2 * common) * _unbiased(sums.blocks)


def _shared_out(candidate: ArmSums, baseline: ArmSums, sums: LengthSums, excess: float) -> tuple[float, float]:
    """Both arms' effects 1 + (m − 1) ρ, m = Σn² / Σn, for the ρ that explains the excess of the variance."""
    sizes = [sums.products[2] / max(candidate.n, 1), sums.products[5] / max(baseline.n, 1)]
    more = [max(size - 1, 0.0) for size in sizes]
    weight = sum(arm.binomial * size / arm.n for arm, size in zip((candidate, baseline), more, strict=True) if arm.n)
    correlation = excess / weight if weight else 0.0
    return 1 + more[0] * correlation, 1 + more[1] * correlation
