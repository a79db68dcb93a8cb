"""Is the traffic split as the weights ask? A wrong split makes the counts of the arms worthless."""

import math

from monitoring.analysis.sequential import share_log_e

SRM_ALARM_P = 0.001


def sample_ratio_p(observed: tuple[int, int], weights_pct: tuple[int, int]) -> float:
    """The χ² p-value (one degree of freedom) of an observed split of drawn requests against the weights."""
    total, weight = sum(observed), sum(weights_pct)
    if total == 0 or 0 in weights_pct:
        return 1.0
    statistic = 0.0
    for count, pct in zip(observed, weights_pct, strict=True):
        expected = total * pct / weight
        statistic += (count - expected) ** 2 / expected
    return math.erfc(math.sqrt(statistic / 2))


def is_sample_ratio_off(observed: tuple[int, int], weights_pct: tuple[int, int]) -> bool:
    """Whether the split is so unlikely (p < .001) that the counts must not be compared.

    The χ² alone, asked every second of ten minutes, would accuse one correct split in thirty; so the anytime-valid
    evidence must agree. The counts are of one step: the weights were the same for all of them.
    """
    if sample_ratio_p(observed, weights_pct) >= SRM_ALARM_P:
        return False
    share = weights_pct[0] / sum(weights_pct)
    return share_log_e(sum(observed), observed[0], share) >= math.log(1 / SRM_ALARM_P)
