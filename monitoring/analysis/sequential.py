"""Anytime-valid inference for proportions: looking after every request costs nothing in false alarms.

By Ville's inequality an e-process E under the null satisfies P(some t: E_t ≥ 1/α) ≤ α.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

# Ratios of the arms' shares that are bet on, with their parts of the stake; tuned by simulation, any are valid.
RATIOS = ((1.5, 0.15), (2.0, 0.3), (3.0, 0.2), (5.0, 0.2), (10.0, 0.1), (30.0, 0.05))
_BISECTIONS = 60


def _log_likelihood(successes: float, trials: float, share: float) -> float:
    value = 0.0
    if successes:
        value += successes * math.log(share)
    if trials - successes:
        value += (trials - successes) * math.log1p(-share)
    return value


def excess_log_e(candidate: float, baseline: float, part: float) -> float:
    """The log of the evidence that the candidate's share is larger, from the events of both arms.

    `part` is the candidate's part of the requests (0 < part < 1). Given that an event came, it is the candidate's with
    probability `part` when the shares are equal and λ part / (1 + (λ − 1) part) when its share is λ times as large; the
    value is the mixture over λ of the likelihood ratios, an e-process for independent requests that are drawn to arms
    with that probability. Events may be fractions, those of dependent requests by their design effect.
    """
    logs = [
        math.log(stake) + candidate * math.log(ratio) - (candidate + baseline) * math.log1p(part * (ratio - 1))
        for ratio, stake in RATIOS
    ]
    most = max(logs)
    return most + math.log(sum(math.exp(value - most) for value in logs))


@dataclass(frozen=True)
class Interval:
    """A closed interval of shares or of differences of shares."""

    low: float
    high: float


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def share_log_e(trials: float, events: float, share: float) -> float:
    """The log of the mixture martingale against "the share is `share`" (0 < share < 1): B(k+½, n−k+½) / B(½, ½) / (p^k
    (1−p)^(n−k)).

    With the events "assigned to the candidate" and its weight as `share` it is a sample-ratio test that may be looked
    at any time.
    """
    mixture = _log_beta(events + 0.5, trials - events + 0.5) - _log_beta(0.5, 0.5)
    return mixture - _log_likelihood(events, trials, share)


def share_interval(trials: float, events: float, alpha: float) -> Interval:
    """The confidence sequence of a share: the p at which the beta-binomial mixture martingale stays below 1/α.

    The mixture is Beta(½, ½) (Krichevsky–Trofimov), see `share_log_e`. It covers the true share at all times at once
    with probability 1 − α when trials are independent; of dependent ones, the numbers of independent ones that they are
    worth make it so approximately. Without trials it is [0, 1]. Raises ValueError for impossible counts.
    """
    if not 0 <= events <= trials or not 0 < alpha < 1:
        raise ValueError(f"{events} events of {trials} trials at level {alpha} make no interval")
    if trials == 0:
        return Interval(0.0, 1.0)
    limit = math.log(1 / alpha)

    def excess(share: float) -> float:
        return share_log_e(trials, events, share) - limit

    middle = events / trials
    low = 0.0 if events == 0 else _edge(excess, 0.0, middle)
    high = 1.0 if events == trials else _edge(excess, 1.0, middle)
    return Interval(low, high)


def _edge(excess: Callable[[float], float], outside: float, inside: float) -> float:
    """Where `excess` changes its sign between a point outside the interval and one inside, by bisection."""
    for _ in range(_BISECTIONS):
        middle = (outside + inside) / 2
        if middle in (0.0, 1.0) or excess(middle) >= 0:
            outside = middle
        else:
            inside = middle
    return outside


def difference_interval(candidate: tuple[float, float], baseline: tuple[float, float], alpha: float) -> Interval:
    """A confidence sequence of share_c − share_b: each arm's own at α/2, put together by the union bound."""
    one = share_interval(*candidate, alpha / 2)
    other = share_interval(*baseline, alpha / 2)
    return Interval(one.low - other.high, one.high - other.low)
