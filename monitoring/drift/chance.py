"""How large a distance is by chance alone, when nothing has moved: what a distance has to pass before it says anything.

n and m are independent observations: of current traffic sampled requests, not their rows.
"""

import math
from statistics import NormalDist


def chi_square_quantile(share: float, degrees: int) -> float:
    """The quantile of χ² by Wilson and Hilferty (1931): exact for 1 and 2 degrees, within 3 % above."""
    if degrees == 1:
        return NormalDist().inv_cdf((1 + share) / 2) ** 2
    if degrees == 2:
        return -2 * math.log(1 - share)
    spread = 2 / (9 * degrees)
    return float(degrees * (1 - spread + NormalDist().inv_cdf(share) * math.sqrt(spread)) ** 3)


def psi_by_chance(n: float, m: float, bins: int, alpha: float) -> float:
    """What the PSI of two samples of one distribution passes with probability `alpha`: (1/n + 1/m) χ² with bins − 1
    degrees (Yurdakul, Statistical properties of the population stability index, 2018).
    """
    return (1 / n + 1 / m) * chi_square_quantile(1 - alpha, max(bins - 1, 1))


def jensen_shannon_by_chance(n: float, m: float, bins: int, alpha: float) -> float:
    """As for the PSI, of which the divergence in nats is an eighth to second order; here its root in base 2."""
    return math.sqrt(psi_by_chance(n, m, bins, alpha) / (8 * math.log(2)))


def ks_by_chance(n: float, m: float, alpha: float) -> float:
    """Smirnov's critical value √(−ln(α/2)/2) · √((n + m)/(n m)): 1.358099 at 5 %. On bins the distance is no larger,
    and the mean difference of the distribution functions is none larger either, so it bounds Wasserstein's too.
    """
    return math.sqrt(-math.log(alpha / 2) / 2) * math.sqrt((n + m) / (n * m))
