"""Does a candidate warm up? Measured from its first seconds: its share of slow requests stands high and then falls.

Nothing can tell cold caches from a slow version while they are cold. So slowness that is not total proves nothing
before `LOOKED_AT_S`; then the fall, if there was one, is found as the change point of the series, and all that was
counted before `LOOKED_AT_S` is left out, neither for nor against the candidate.
"""

import math
from dataclasses import dataclass

LOOKED_AT_S = 45
STRETCH_S = 5
FALL_LOG_RATIO = 6.0  # how much likelier the fall must be than one share all along, as a log; about 400 to 1
_STRETCHES = LOOKED_AT_S // STRETCH_S


@dataclass(frozen=True)
class WarmUp:
    """The candidate's (requests, events) in stretches of `STRETCH_S` since its first request.

    `began` is the second of that request, `left_out_s` the seconds that were left out, None while they are looked at.
    """

    began: int | None = None
    stretches: tuple[tuple[int, int], ...] = ()
    left_out_s: int | None = None

    @property
    def is_over(self) -> bool:
        return self.left_out_s is not None

    def folded(self, second: int, n: int, k: int) -> "WarmUp":
        """With the counts of one second; those of the second in which it is over belong to what follows."""
        if self.is_over or (self.began is None and not n):
            return self
        began = second if self.began is None else self.began
        index = max(second - began, 0) // STRETCH_S
        if index >= _STRETCHES:
            return WarmUp(began, (), LOOKED_AT_S if has_fallen(self.stretches) else 0)
        rows = [*self.stretches, *[(0, 0)] * (index + 1 - len(self.stretches))]
        rows[index] = (rows[index][0] + n, rows[index][1] + k)
        return WarmUp(began, tuple(rows))


def has_fallen(stretches: tuple[tuple[int, int], ...]) -> bool:
    """Whether the share of events is lower from some stretch on, by a likelihood ratio of a change point."""
    return any(
        _fall_log_ratio(_summed(stretches[:cut]), _summed(stretches[cut:])) >= FALL_LOG_RATIO
        for cut in range(1, len(stretches))
    )


def _summed(stretches: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    return sum(n for n, _ in stretches), sum(k for _, k in stretches)


def _fall_log_ratio(first: tuple[int, int], rest: tuple[int, int]) -> float:
    if not first[0] or not rest[0] or first[1] / first[0] <= rest[1] / rest[0]:
        return 0.0
    both = (first[0] + rest[0], first[1] + rest[1])
    return _log_likelihood(*first) + _log_likelihood(*rest) - _log_likelihood(*both)


def _log_likelihood(n: int, k: int) -> float:
    """The largest log-likelihood of k events of n."""
    return sum(part * math.log(part / n) for part in (k, n - k) if part)
