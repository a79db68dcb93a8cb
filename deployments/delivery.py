"""How releases go over a span: promotion rate, lead time, change failure rate, time to restore, each with what it rests
on. After the four measures of DORA (https://dora.dev/guides/dora-metrics/), for models.

What they count is in the sentences of `DEFINITIONS`, which pages show and docs/operations.md repeats.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from statistics import median, quantiles
from typing import NamedTuple

from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet, Subquery

from deployments.lifecycle import READY_STATUSES, Phase, ReleaseStatus
from deployments.models import Release, ReleaseEvent
from monitoring.spans import Span

DEFINITIONS = {
    "promotion": "Releases that were promoted, of all that ended after they were approved (or began in an emergency).",
    "lead_time": "From the request of a release to its promotion, of those promoted in the span.",
    "change_failure": (
        "Of the releases whose rollout began and ended as promoted, taken back or aborted: those that were taken back, "
        "and those promoted that were rolled back by hand until now."
    ),
    "restore": (
        "From the order to go back, by evidence or by a person, until every gateway obeyed. What passed before the "
        "order is not in it: nobody can know since when a version was bad."
    ),
}
P90 = 9  # of ten parts


@dataclass(frozen=True)
class Share:
    """`part` of `whole`; no share of nothing."""

    part: int
    whole: int

    @property
    def value(self) -> float | None:
        return self.part / self.whole if self.whole else None


@dataclass(frozen=True)
class Durations:
    """Seconds that `n` cases took: the median and the 90th percentile (interpolated), None without a case."""

    n: int
    median_s: float | None
    p90_s: float | None

    @classmethod
    def of(cls, seconds: list[float]) -> "Durations":
        if len(seconds) < 2:
            only = seconds[0] if seconds else None
            return cls(len(seconds), only, only)
        return cls(len(seconds), median(seconds), quantiles(seconds, n=10, method="inclusive")[P90 - 1])


@dataclass(frozen=True)
class DeliveryFigures:
    """How the releases that ended in a span went."""

    promotion: Share
    change_failure: Share
    lead_time: Durations
    restore: Durations


class _Ended(NamedTuple):
    kind: str
    status: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime
    restores: object
    undoes: object
    was_ready: bool
    was_undone: bool
    reverting_at: datetime | None

    @property
    def is_promoted(self) -> bool:
        return self.kind == "release" and self.status == ReleaseStatus.SUCCEEDED

    @property
    def is_cleared(self) -> bool:
        """Whether it was approved, or began at all."""
        return self.kind == "release" and (self.started_at is not None or self.was_ready)

    @property
    def is_change(self) -> bool:
        return self.kind == "release" and self.started_at is not None and self.status in CHANGES

    @property
    def is_failure(self) -> bool:
        return self.is_change and (self.status == ReleaseStatus.ROLLED_BACK or (self.is_promoted and self.was_undone))

    @property
    def ordered_back_at(self) -> datetime | None:
        """When it was said that the traffic goes back, of what brought it back."""
        if self.kind == "release":
            return self.reverting_at if self.status == ReleaseStatus.ROLLED_BACK else None
        is_return = self.status == ReleaseStatus.SUCCEEDED and self.undoes not in (None, self.restores)
        return self.created_at if is_return else None


CHANGES = frozenset({ReleaseStatus.SUCCEEDED, ReleaseStatus.ROLLED_BACK, ReleaseStatus.ABORTED})
# The end of a retirement is of the same kind as a rollback by hand; it restores what it follows.
ROLLBACKS = Release.objects.filter(kind="rollback", replaces=OuterRef("pk")).exclude(restores=F("replaces"))
READY_EVENTS = ReleaseEvent.objects.filter(release=OuterRef("pk"), new__in=sorted(READY_STATUSES))
BACK_EVENTS = ReleaseEvent.objects.filter(release=OuterRef("pk"), kind="rollout.step", new=Phase.REVERTING)


def ended_after_approval() -> Q:
    """The releases that were approved, or began at all: what the promotion rate is of, of those that ended."""
    return Q(kind="release") & (Q(started_at__isnull=False) | Q(Exists(READY_EVENTS)))


def delivery(releases: QuerySet[Release], spans: list[Span]) -> list[DeliveryFigures]:
    """How those of `releases` went that ended in each span, in one query for all of them."""
    first, last = min(span.since for span in spans), max(span.until for span in spans)
    rows = releases.select_related(None).filter(ended_at__gte=first, ended_at__lt=last).order_by()
    back_at = BACK_EVENTS.order_by().values("release").annotate(first=Min("at")).values("first")
    values = rows.values_list(
        "kind",
        "status",
        "created_at",
        "started_at",
        "ended_at",
        "restores",
        "replaces",
        Exists(READY_EVENTS),
        Exists(ROLLBACKS),
        Subquery(back_at),
    )
    ended = [_Ended._make(row) for row in values]
    return [_delivery([row for row in ended if span.since <= row.ended_at < span.until]) for span in spans]


def _delivery(ended: list[_Ended]) -> DeliveryFigures:
    promoted = [row for row in ended if row.is_promoted]
    changes = [row for row in ended if row.is_change]
    return DeliveryFigures(
        promotion=Share(len(promoted), _count(row.is_cleared for row in ended)),
        change_failure=Share(_count(row.is_failure for row in changes), len(changes)),
        lead_time=Durations.of([(row.ended_at - row.created_at).total_seconds() for row in promoted]),
        restore=Durations.of(
            [(row.ended_at - at).total_seconds() for row in ended if (at := row.ordered_back_at) is not None]
        ),
    )


def _count(answers: Iterable[bool]) -> int:
    return sum(answers)
