"""Anytime-valid inference for proportions: looking after every request costs nothing in false alarms.

By Ville's inequality an e-process E under the null satisfies P(some t: E_t ≥ 1/α) ≤ α.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

# How many requests the assumed excess weighs against the candidate's own counts; tuned by simulation, any value is
# valid.
PRIOR_REQUESTS = 100.0
EXCESS_MIN = 0.02  # the smallest excess the bet starts with, so that a tiny margin does not make it timid
BASELINE_MIN_REQUESTS = 10  # no bet before the baseline's share has been seen at all
_BISECTIONS = 60


def _log_likelihood(successes: float, trials: float, share: float) -> float:
    value = 0.0
    if successes:
        value += successes * math.log(share)
    if trials - successes:
        value += (trials - successes) * math.log1p(-share)
    return value


def block_log_e(
    candidate: tuple[int, int], baseline: tuple[int, int], share_c: float, share_b: float, margin: float = 0.0
) -> float:
    """The log of the factor by which one block multiplies the 2×2 e-process against "share_c ≤ share_b + margin".

    `candidate` and `baseline` are (requests, events) of the block; `share_c` and `share_b` are the bet, made from past
    blocks only. The denominator is the null's point (q_b + margin, q_b) nearest to the bet in Kullback–Leibler
    divergence; without a margin that is q = (n_c θ_c + n_b θ_b) / n. The factor's mean is at most 1 under all of the
    null: it falls away from the boundary, and on it n_c log(1 + dA) + n_b log(1 − dB) ≤ n log 1, because at that point
    n_c A = n_b B, A = (θ_c − q_c) / (q_c (1 − q_c)), B = (q_b − θ_b) / (q_b (1 − q_b)). Source: Turner, Ly, Grünwald,
    "Generic E-variables for exact sequential k-sample tests", arXiv 2106.02693.
    """
    (n_c, k_c), (n_b, k_b) = candidate, baseline
    if not n_c or not n_b or share_c <= share_b + margin:
        return 0.0
    null_b = (n_c * share_c + n_b * share_b) / (n_c + n_b)
    if margin:
        null_b = _nearest_null(n_c * share_c, n_c, n_b * share_b, n_b, margin)
    return (
        _log_likelihood(k_c, n_c, share_c)
        + _log_likelihood(k_b, n_b, share_b)
        - _log_likelihood(k_c, n_c, null_b + margin)
        - _log_likelihood(k_b, n_b, null_b)
    )


def _nearest_null(k_c: float, n_c: int, k_b: float, n_b: int, margin: float) -> float:
    """Q with (k_c − n_c q_c) / (q_c (1 − q_c)) + (k_b − n_b q) / (q (1 − q)) = 0 for q_c = q + margin, by bisection."""
    low, high = k_b / n_b, k_c / n_c - margin
    for _ in range(_BISECTIONS):
        share = (low + high) / 2
        raised = share + margin
        slope = (k_c - n_c * raised) / (raised * (1 - raised)) + (k_b - n_b * share) / (share * (1 - share))
        low, high = (share, high) if slope > 0 else (low, share)
    return (low + high) / 2


def bet(candidate: tuple[int, int], baseline: tuple[int, int], margin: float) -> tuple[float, float] | None:
    """Return (share_c, share_b) to bet on in the next block, from the totals of all past blocks; None for no bet.

    The baseline's share is smoothed by a Beta(½, ½) prior. The candidate's starts at the baseline's plus an excess and
    follows its own counts as they come (a Beta prior of `PRIOR_REQUESTS` requests).
    """
    (n_c, k_c), (n_b, k_b) = candidate, baseline
    if n_b < BASELINE_MIN_REQUESTS:
        return None
    share_b = (k_b + 0.5) / (n_b + 1)
    assumed = min(share_b + max(2 * margin, EXCESS_MIN), 0.99)
    share_c = (k_c + PRIOR_REQUESTS * assumed) / (n_c + PRIOR_REQUESTS)
    return (min(share_c, 0.999), share_b) if share_c > share_b else None


@dataclass(frozen=True)
class Interval:
    """A closed interval of shares or of differences of shares."""

    low: float
    high: float


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def share_log_e(trials: int, events: int, share: float) -> float:
    """The log of the mixture martingale against "the share is `share`" (0 < share < 1): B(k+½, n−k+½) / B(½, ½) / (p^k
    (1−p)^(n−k)).

    With the events "assigned to the candidate" and its weight as `share` it is a sample-ratio test that may be looked
    at any time.
    """
    mixture = _log_beta(events + 0.5, trials - events + 0.5) - _log_beta(0.5, 0.5)
    return mixture - _log_likelihood(events, trials, share)


def share_interval(trials: int, events: int, alpha: float) -> Interval:
    """The confidence sequence of a share: the p at which the beta-binomial mixture martingale stays below 1/α.

    The mixture is Beta(½, ½) (Krichevsky–Trofimov), see `share_log_e`. It covers the true share at all times at once
    with probability 1 − α. Without trials it is [0, 1]. Raises ValueError for impossible counts.
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


def difference_interval(candidate: tuple[int, int], baseline: tuple[int, int], alpha: float) -> Interval:
    """A confidence sequence of share_c − share_b: each arm's own at α/2, put together by the union bound."""
    one = share_interval(*candidate, alpha / 2)
    other = share_interval(*baseline, alpha / 2)
    return Interval(one.low - other.high, one.high - other.low)
