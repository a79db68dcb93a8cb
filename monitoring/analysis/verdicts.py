"""The four verdicts, and how several become one."""

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    HEALTHY = "healthy"
    HARMFUL = "harmful"
    INCONCLUSIVE = "inconclusive"
    NO_DATA = "no_data"


WORST_FIRST = (Verdict.HARMFUL, Verdict.NO_DATA, Verdict.INCONCLUSIVE, Verdict.HEALTHY)


def worst_of(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst verdict; without any it is no data, because no data is never a pass."""
    found = set(verdicts)
    return next((verdict for verdict in WORST_FIRST if verdict in found), Verdict.NO_DATA)
