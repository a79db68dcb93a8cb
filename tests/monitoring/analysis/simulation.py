"""Many rollouts at once: the e-process of `Tally.folded` on numpy arrays.

`test_simulations` holds it against the real one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitoring.analysis.sequential import BASELINE_MIN_REQUESTS, EXCESS_MIN, PRIOR_REQUESTS

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Setting:
    """True shares, and how many requests of each arm make one block."""

    share_c: float
    share_b: float
    margin: float = 0.01
    block_c: int = 1
    block_b: int = 9


def _log_likelihood(successes: Array, trials: float, share: Array) -> Array:
    return successes * np.log(share) + (trials - successes) * np.log1p(-share)


def factor(setting: Setting, past: tuple[Array, Array, Array, Array], k_c: Array, k_b: Array) -> Array:
    """The log factors of one block for all rollouts; `past` is n_c, k_c, n_b, k_b so far."""
    n_c, seen_c, n_b, seen_b = past
    share_b = (seen_b + 0.5) / (n_b + 1)
    assumed = np.minimum(share_b + max(2 * setting.margin, EXCESS_MIN), 0.99)
    share_c = np.minimum((seen_c + PRIOR_REQUESTS * assumed) / (n_c + PRIOR_REQUESTS), 0.999)
    total = setting.block_c + setting.block_b
    pooled = (setting.block_c * share_c + setting.block_b * share_b) / total
    gain = _log_likelihood(k_c, setting.block_c, share_c) + _log_likelihood(k_b, setting.block_b, share_b)
    gain -= _log_likelihood(k_c + k_b, total, pooled)
    return np.where((share_c > share_b) & (n_b >= BASELINE_MIN_REQUESTS), gain, 0.0)


def harm_found_at(setting: Setting, threshold: float, blocks: int, rollouts: int, seed: int) -> tuple[Array, Array]:
    """Return, for each rollout, after how many candidate requests the e-value alone, and the judge's whole rule, call
    harm (inf: never).
    """
    rng = np.random.default_rng(seed)
    n_c, k_c, n_b, k_b, log_e = (np.zeros(rollouts) for _ in range(5))
    by_e, by_rule, most = np.full(rollouts, np.inf), np.full(rollouts, np.inf), np.zeros(rollouts)
    for _ in range(blocks):
        new_c = rng.binomial(setting.block_c, setting.share_c, rollouts).astype(float)
        new_b = rng.binomial(setting.block_b, setting.share_b, rollouts).astype(float)
        log_e += factor(setting, (n_c, k_c, n_b, k_b), new_c, new_b)
        most = np.maximum(most, log_e)
        n_c, k_c, n_b, k_b = n_c + setting.block_c, k_c + new_c, n_b + setting.block_b, k_b + new_b
        proven = most >= np.log(threshold)
        beyond = k_c / n_c - k_b / n_b > setting.margin
        by_e = np.where(proven & np.isinf(by_e), n_c, by_e)
        by_rule = np.where(proven & beyond & np.isinf(by_rule), n_c, by_rule)
    return by_e, by_rule
