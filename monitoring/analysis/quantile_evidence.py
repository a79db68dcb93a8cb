"""Anytime-valid comparison of one quantile of two arms, from the buckets of their latency histograms.

Howard, Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm identification"
(Bernoulli 28(3), 2022; arXiv 1906.09712), theorem 5, in its one-sided form. If the candidate's p-quantile is at most δ
above the stable arm's, there is a latency x, the stable arm's quantile itself, up to x + δ of which at least a share p
of the candidate's requests lies and below x of which at most a share p of the stable arm's. So the least product over x
of the evidence against both is evidence against it, and the δ that are not rejected are a confidence sequence.

Evidence about one arm's share is the beta-binomial mixture over the shares on one side of p. Its prior has its mean at
p and is as narrow as suits `REQUESTS_TUNED` requests: a Beta(½, ½) prior would have to pay for shares that no quantile
near p has, and finds a shift of 100 in 1,000 with p = 0.086 instead of 0.0055.

Latencies are known as buckets of 2 %, so ties are the rule: a tie counts for the candidate as up to x and for the
stable arm as not below it, which is the least evidence.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate

REQUESTS_TUNED = 500  # independent requests of an arm at which the evidence is best; any number is valid
ALPHA_TUNED = 0.05
CANDIDATE, BASELINE = 0, 1
_FRACTION_STEPS, _FRACTION_ENOUGH, _TINY = 300, 1e-12, 1e-300
_BISECTIONS = 40


@dataclass(frozen=True)
class Latencies:
    """The requests of one arm: rising latencies in ms, how many had each, and by how much they are too many to be
    independent (`effect`, at least 1).
    """

    values_ms: tuple[float, ...]
    counts: tuple[int, ...]
    effect: float = 1.0

    @classmethod
    def of(cls, counts: Mapping[float, int], effect: float = 1.0) -> "Latencies":
        """Those of a table latency → count."""
        kept = sorted((value, count) for value, count in counts.items() if count)
        return cls(tuple(value for value, _ in kept), tuple(count for _, count in kept), max(effect, 1.0))

    @property
    def total(self) -> int:
        return sum(self.counts)

    def quantile(self, share: float) -> float | None:
        """The smallest latency up to which at least `share` of the requests lie; None without requests."""
        if not self.counts:
            return None
        up_to = list(accumulate(self.counts))
        return self.values_ms[min(bisect_left(up_to, share * up_to[-1] - 1e-9), len(up_to) - 1)]


class QuantileEvidence:
    """What two arms say of the difference δ of their quantiles, in ms. Raises ValueError for an impossible quantile."""

    def __init__(
        self, candidate: Latencies, baseline: Latencies, quantile: float, *, tuned: float = REQUESTS_TUNED
    ) -> None:
        if not 0 < quantile < 1:
            raise ValueError(f"a quantile lies between 0 and 1, not {quantile}")
        self._arms = candidate, baseline
        few, many = _Mixture(quantile, tuned), _Mixture(1 - quantile, tuned)
        # Of each arm, by how many of its latencies are passed: evidence that less, and more, than the quantile is.
        self._less = [[few.log_e(n, k) for n, k in _passed(arm)] for arm in self._arms]
        self._more = [[many.log_e(n, n - k) for n, k in _passed(arm)] for arm in self._arms]

    def log_e_larger(self, difference_ms: float = 0.0) -> float:
        """The log of the evidence against "the candidate's quantile is at most `difference_ms` above the stable arm's".

        0 when an arm is empty.
        """
        return self._least(CANDIDATE, BASELINE, difference_ms)

    def log_e_smaller(self, difference_ms: float) -> float:
        """The log of the evidence against "it is at least `difference_ms` above"; 0 when an arm is empty."""
        return self._least(BASELINE, CANDIDATE, -difference_ms)

    def _least(self, larger: int, smaller: int, shift_ms: float) -> float:
        """The least evidence over all places of the smaller arm's quantile: its latencies, and above all of them."""
        values_ms, places = self._arms[larger].values_ms, self._arms[smaller].values_ms
        if not values_ms or not places:
            return 0.0
        less, more = self._less[larger], self._more[smaller]
        found = [less[bisect_right(values_ms, value + shift_ms)] + more[place] for place, value in enumerate(places)]
        return min(*found, less[-1] + more[-1])

    def interval_ms(self, low_alpha: float, high_alpha: float) -> tuple[float | None, float | None]:
        """The ends of the confidence sequence of the difference in ms, each of its own level. None: not bounded."""
        if not all(arm.counts for arm in self._arms):
            return None, None
        widest = 2 * max(arm.values_ms[-1] for arm in self._arms) + 1.0
        low = _edge(lambda at: self.log_e_larger(at) >= math.log(1 / low_alpha), -widest, widest)
        high = _edge(lambda at: self.log_e_smaller(at) >= math.log(1 / high_alpha), widest, -widest)
        return low, high


def _edge(is_rejected: Callable[[float], bool], rejected: float, kept: float) -> float | None:
    """The last difference that is rejected on the way to one that is not; None when none is."""
    if not is_rejected(rejected):
        return None
    for _ in range(_BISECTIONS):
        middle = (rejected + kept) / 2
        if is_rejected(middle):
            rejected = middle
        else:
            kept = middle
    return rejected


class _Mixture:
    """The evidence that a share is below `share`: the mixture over shares below it of the likelihood ratios.

    With a = n₀ p and b = n₀ (1 − p) it is B_p(a + k, b + n − k) / (B_p(a, b) p^k (1 − p)^(n − k)), B_p the incomplete
    beta function; an e-process also for shares above p. The tuning is that of Howard, Ramdas, McAuliffe, Sekhon
    (Ann. Stat. 49(2), 2021), equation (25): n₀ p (1 − p) = v / (2 ln 1/α + ln(1 + 2 ln 1/α)) − p (1 − p).
    """

    def __init__(self, share: float, tuned: float) -> None:
        doubled = 2 * math.log(1 / ALPHA_TUNED)
        prior = max(tuned / (doubled + math.log1p(doubled)) - 1, 1.0)
        self._share, self._a, self._b = share, prior * share, prior * (1 - share)
        self._whole = self._log_incomplete(self._a, self._b)

    def log_e(self, trials: float, events: float) -> float:
        """The log of the evidence of `events` in `trials`, which may be fractions."""
        likelihood = events * math.log(self._share) + (trials - events) * math.log1p(-self._share)
        return self._log_incomplete(self._a + events, self._b + trials - events) - self._whole - likelihood

    def _log_incomplete(self, a: float, b: float) -> float:
        """ln B_x(a, b) at x = `share`, by its continued fraction on the side of the mean where it converges."""
        x = self._share
        front = a * math.log(x) + b * math.log1p(-x)
        if x < (a + 1) / (a + b + 2):
            return front + math.log(_fraction(a, b, x) / a)
        whole = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
        above = front + math.log(_fraction(b, a, 1 - x) / b) - whole
        return whole + math.log(max(-math.expm1(min(above, 0.0)), _TINY))


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function, by Lentz's method (DLMF 8.17.22)."""
    c, d = 1.0, 1 / _apart_from_0(1 - (a + b) * x / (a + 1))
    value = d
    for step in range(1, _FRACTION_STEPS):
        even = step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step))
        odd = -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1))
        change = 1.0
        for term in (even, odd):
            d, c = 1 / _apart_from_0(1 + term * d), _apart_from_0(1 + term / c)
            change = c * d
            value *= change
        if abs(change - 1) < _FRACTION_ENOUGH:
            break
    return value


def _apart_from_0(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _passed(arm: Latencies) -> list[tuple[float, float]]:
    """(requests, requests up to there) before the first latency and after each, both as independent ones."""
    total = arm.total
    return [(total / arm.effect, passed / arm.effect) for passed in (0, *accumulate(arm.counts))]
