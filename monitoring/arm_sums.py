"""What one arm did over a span, summed over its windows in one query."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from dataplane.wire.histogram import Histogram, merged
from monitoring.models import Window
from monitoring.selectors import errors_of, rolled_up


@dataclass(frozen=True)
class ArmSum:
    """Requests of one arm, those that failed, those that were refused before a worker was asked, and how long they
    took.
    """

    requests: int
    errors: int
    rejected: int
    latency: Histogram


def arm_sums_between(
    *, environment: str, endpoint: str, release: str, arms: tuple[str, str], since: datetime, until: datetime
) -> tuple[ArmSum, ArmSum]:
    """The sums of the candidate's arm (of `release`) and of the stable one, over the one-second windows that began at
    `since` or later and before `until`. `arms` are their names.
    """
    candidate, baseline = arms
    whose = Q(arm=candidate, release=release) | Q(arm=baseline)
    rows = rolled_up(1, since).filter(whose, environment=environment, endpoint=endpoint, start__lt=until)
    windows = list(rows)
    return _sum([row for row in windows if row.arm == candidate]), _sum([row for row in windows if row.arm == baseline])


def _sum(windows: list[Window]) -> ArmSum:
    return ArmSum(
        requests=sum(window.requests for window in windows),
        errors=sum(errors_of(window) for window in windows),
        rejected=sum(window.rejected for window in windows),
        latency=merged(window.latency for window in windows),
    )
