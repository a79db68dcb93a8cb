"""How others decide, on the same simulated rollouts: the second in which each calls a rollout harmful (inf: never)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tests.support.judge_twin import quotient
from tests.support.simulated_traffic import Array, Drawn, Traffic

ALPHA = 0.05
PRIOR_REQUESTS, EXCESS_MIN = 100.0, 0.02  # of the bets of the judge that counted requests as independent
ARGO_S = KAYENTA_S = 60  # a measurement of Argo, and an interval of Kayenta
KAYENTA_CONFIDENCE, KAYENTA_TOLERANCE, KAYENTA_POINTS_MIN = 0.98, 0.25, 3


def _first(found: NDArray[np.bool_], every_s: int = 1) -> Array:
    """The second of the first look, by [rollout, look], at which harm is found."""
    return np.where(found.any(axis=1), (found.argmax(axis=1) + 1.0) * every_s, np.inf)


def z_test(traffic: Traffic, drawn: Drawn) -> Array:
    """A one-sided two-proportion z-test at α with a look a second, once five of each arm's requests are in."""
    n, k = drawn.n.cumsum(axis=1), drawn.k.cumsum(axis=1)
    pooled = quotient(k.sum(axis=2), n.sum(axis=2))
    error = np.sqrt(pooled * (1 - pooled) * (quotient(np.ones_like(pooled), n[..., 0]) + 1 / np.maximum(n[..., 1], 1)))
    difference = quotient(k[..., 0], n[..., 0]) - quotient(k[..., 1], n[..., 1])
    found = (quotient(difference, error) > stats.norm.ppf(1 - ALPHA)) & (difference > traffic.margin)
    return _first(found & (n.min(axis=2) >= 5))


def argo_threshold(traffic: Traffic, drawn: Drawn) -> Array:
    """A success condition on the candidate's own share, the stable arm's usual one and the margin, once a minute; the
    first failed measurement ends it (`failureLimit: 0`, the default).
    """
    n, k = _per_minute(drawn.n, ARGO_S), _per_minute(drawn.k, ARGO_S)
    usual = quotient(drawn.k[..., 1].sum(axis=1), drawn.n[..., 1].sum(axis=1))[:, None]
    return _first(quotient(k[..., 0], n[..., 0]) > usual + traffic.margin, ARGO_S)


def kayenta(traffic: Traffic, drawn: Drawn) -> Array:
    """Kayenta's Mann–Whitney test on the shares of a minute, judged after each minute from the third on: high when the
    98 % interval of the shift lies above a quarter of its estimate. Source: its NetflixACAJudge with default settings.
    """
    n, k = _per_minute(drawn.n, KAYENTA_S), _per_minute(drawn.k, KAYENTA_S)
    share = quotient(k, n)
    found = np.zeros(share.shape[:2], dtype=bool)
    for minutes in range(KAYENTA_POINTS_MIN, share.shape[1] + 1):
        candidate, stable = share[:, :minutes, 0], share[:, :minutes, 1]
        shifts = np.sort((candidate[:, :, None] - stable[:, None, :]).reshape(len(share), -1), axis=1)
        spread = np.sqrt(minutes * minutes * (2 * minutes + 1) / 12)
        low = max(0, int(minutes * minutes / 2 - stats.norm.ppf((1 + KAYENTA_CONFIDENCE) / 2) * spread))
        found[:, minutes - 1] = shifts[:, low] > KAYENTA_TOLERANCE * np.abs(np.median(shifts, axis=1))
    return _first(found, KAYENTA_S)


def _per_minute(counts: Array, seconds: int) -> Array:
    whole = counts.shape[1] // seconds
    return counts[:, : whole * seconds].reshape(len(counts), whole, seconds, 2).sum(axis=2)


def independent_requests(traffic: Traffic, drawn: Drawn) -> Array:
    """The judge before it measured dependence: the 2×2 e-process of Turner, Ly, Grünwald (arXiv 2106.02693)."""
    rollouts, seconds = drawn.n.shape[:2]
    n, k, log_e, most = np.zeros((rollouts, 2)), np.zeros((rollouts, 2)), np.zeros(rollouts), np.zeros(rollouts)
    found = np.zeros((rollouts, seconds), dtype=bool)
    for second in range(seconds):
        log_e += _bet(traffic.margin, n, k, drawn.n[:, second], drawn.k[:, second])
        most = np.maximum(most, log_e)
        n, k = n + drawn.n[:, second], k + drawn.k[:, second]
        difference = quotient(k[:, 0], n[:, 0]) - quotient(k[:, 1], n[:, 1])
        stopped = (n[:, 0] >= 20) & (2 * k[:, 0] >= n[:, 0]) & (not traffic.is_latency)
        found[:, second] = ((most >= np.log(1 / (0.8 * ALPHA))) & (difference > traffic.margin)) | stopped
    return _first(found)


def _bet(margin: float, n: Array, k: Array, new_n: Array, new_k: Array) -> Array:
    share_b = (k[:, 1] + 0.5) / (n[:, 1] + 1)
    assumed = np.minimum(share_b + max(2 * margin, EXCESS_MIN), 0.99)
    share_c = np.minimum((k[:, 0] + PRIOR_REQUESTS * assumed) / (n[:, 0] + PRIOR_REQUESTS), 0.999)
    pooled = quotient(new_n[:, 0] * share_c + new_n[:, 1] * share_b, new_n.sum(axis=1), 0.5)
    gain = _likelihood(new_n[:, 0], new_k[:, 0], share_c) + _likelihood(new_n[:, 1], new_k[:, 1], share_b)
    gain = gain - _likelihood(new_n.sum(axis=1), new_k.sum(axis=1), pooled)
    return np.where((share_c > share_b) & (n[:, 1] >= 10) & (new_n > 0).all(axis=1), gain, 0.0)


def _likelihood(n: Array, k: Array, share: Array) -> Array:
    return np.asarray(k * np.log(share) + (n - k) * np.log1p(-share))


RIVALS: dict[str, Callable[[Traffic, Drawn], Array]] = {
    "requests as independent": independent_requests,
    "Argo, threshold": argo_threshold,
    "Kayenta, Mann–Whitney": kayenta,
    "z-test": z_test,
}
