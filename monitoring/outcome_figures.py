"""Reads of outcomes: what came of an endpoint's, and the sums that a look judges."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Avg, BigIntegerField, Count, F, Q, QuerySet, Sum, Value

from mlorch_site.lib import clock
from monitoring import limits
from monitoring.analysis.outcome_evidence import ArmValues, Coverage, ValueSums
from monitoring.models import OutcomeDefinition, ReportedOutcome
from monitoring.selectors import spanning
from monitoring.watched_endpoint import WatchedEndpoint

SHOWN_SPAN = timedelta(days=1)
STRATUM_BLOCKS = 4  # that requests are counted by: at least as long as the windows of the span are wide


@dataclass(frozen=True)
class ArmOutcomes:
    """What was reported of one arm over the last day, of so many requests. `late_s` is from request to outcome."""

    arm: str
    version: int
    release: str
    outcomes: int
    mean: float
    requests: int
    late_s: float

    @property
    def mean_pct(self) -> float:
        """The percent of yes."""
        return 100 * self.mean

    @property
    def covered_pct(self) -> float | None:
        """The percent of the requests that have an outcome, None without requests."""
        share = Coverage(self.outcomes, self.requests).share
        return None if share is None else 100 * share


@dataclass(frozen=True)
class ComparedOutcomes:
    """The outcomes of both arms of a rollout, and by stretch of time how many of how many requests have one."""

    candidate: ArmValues
    baseline: ArmValues
    strata: list[tuple[tuple[int, int], tuple[int, int]]]

    @property
    def coverage(self) -> tuple[Coverage, Coverage]:
        """That of the candidate and of the baseline."""
        return _coverage(part[0] for part in self.strata), _coverage(part[1] for part in self.strata)


def _coverage(parts: Any) -> Coverage:
    outcomes, requests = (sum(column) for column in zip((0, 0), *parts, strict=True))
    return Coverage(outcomes, requests)


def outcome_figures(place: WatchedEndpoint) -> list[OutcomeDefinition]:
    """The endpoint's outcomes, each with `arms`: what came of every arm over the last day (a constant number of
    queries).
    """
    definitions = list(place.outcomes())
    now = clock.now()
    since = now - SHOWN_SPAN
    rows = ReportedOutcome.objects.filter(definition__in=definitions, second__gte=int(since.timestamp()))
    told = rows.values("definition", "arm", "version", "release").annotate(
        outcomes=Count("pk"), mean=Avg("value"), late_s=Avg("late_s")
    )
    windows = spanning(since, now).filter(environment=place.environment.name, endpoint=place.name)
    asked = windows.values("arm", "release").annotate(requests=Sum("requests"))
    requests = {(row["arm"], row["release"]): row["requests"] for row in asked.order_by()}
    arms: dict[Any, list[ArmOutcomes]] = defaultdict(list)
    for row in told.order_by("arm", "version"):
        values = {name: value for name, value in row.items() if name != "definition"}
        asked_of = requests.get((row["arm"], row["release"]), 0)
        arms[row["definition"]].append(ArmOutcomes(**values, requests=asked_of))  # type: ignore[arg-type]
    for definition in definitions:
        definition.arms = arms[definition.pk]  # type: ignore[attr-defined]
    return definitions


def compared_outcomes(
    definition: OutcomeDefinition, *, release: str, arms: tuple[str, str], since: datetime, now: datetime
) -> ComparedOutcomes:
    """The outcomes of requests since `since` by stretch of time, of the candidate (the first of `arms`, of `release`)
    and of the baseline (the second). Two queries; the stretches double in length as the span grows.
    """
    candidate, baseline = arms
    wanted = Q(arm=candidate, release=release) | Q(arm=baseline)
    first, width = int(since.timestamp()), block_width(since, now)
    rows = ReportedOutcome.objects.filter(wanted, definition=definition, second__gte=first)
    found: dict[str, _Sums] = defaultdict(_Sums)
    for row in _by_block(rows, first, width):
        found[row["arm"]].add(row["block"], row["bucket"], ValueSums(row["n"], row["total"], row["squares"]))
    windows = spanning(since, now).filter(
        wanted, environment=definition.environment.name, endpoint=definition.endpoint, start__gte=since
    )
    asked: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for window in windows.values("arm", "start").annotate(requests=Sum("requests")).order_by():
        asked[window["arm"]][(int(window["start"].timestamp()) - first) // width] += window["requests"]
    one, other = found[candidate].values, found[baseline].values
    strata: dict[int, list[list[int]]] = defaultdict(lambda: [[0, 0], [0, 0]])
    for side, arm, values in ((0, candidate, one), (1, baseline, other)):
        for block, sums in values.blocks.items():
            strata[block // STRATUM_BLOCKS][side][0] += sums.n
        for block, requests in asked[arm].items():
            strata[block // STRATUM_BLOCKS][side][1] += requests
    pairs = [((of_c[0], of_c[1]), (of_b[0], of_b[1])) for of_c, of_b in strata.values()]
    return ComparedOutcomes(one, other, pairs)


def block_width(since: datetime, now: datetime) -> int:
    """The seconds of a stretch: the smallest power of two that divides the span into few enough."""
    width = 1
    while width * limits.OUTCOME_BLOCKS_MAX < (now - since).total_seconds():
        width *= 2
    return width


class _Sums:
    """The sums of one arm as they are read."""

    def __init__(self) -> None:
        self._blocks: dict[int, ValueSums] = {}
        self._buckets: dict[tuple[int, int], ValueSums] = {}

    def add(self, block: int, bucket: int | None, sums: ValueSums) -> None:
        self._blocks[block] = self._blocks.get(block, ValueSums()).plus(sums)
        if bucket is not None:
            self._buckets[block, bucket] = sums

    @property
    def values(self) -> ArmValues:
        return ArmValues(self._blocks, self._buckets)


def _by_block(rows: "QuerySet[ReportedOutcome]", first: int, width: int) -> "QuerySet[Any, Any]":
    whole = BigIntegerField()
    blocks = rows.annotate(block=(F("second") - Value(first, output_field=whole)) / Value(width, output_field=whole))
    sums = blocks.values("arm", "block", "bucket").annotate(
        n=Count("pk"), total=Sum("value"), squares=Sum(F("value") * F("value"))
    )
    return sums.order_by()
