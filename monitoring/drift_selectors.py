"""Reads of drift: counts of a span against their references, and predictions of two arms (reads the database)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from dataplane.wire import shapes
from dataplane.wire.feature_counts import FeatureCounts, FeaturePlan, counts_for
from monitoring.drift.feature_drift import FeatureDrift, feature_drift
from monitoring.drift.prediction_shift import Shift, shift
from monitoring.drift.reference_features import ReferenceFeature
from monitoring.models import DriftReference, DriftWindow
from monitoring.watched_endpoint import WatchedEndpoint

SPARK_PARTS = 12
SHIFT_WINDOWS_MAX = 20_000  # of a look: two arms for a week, with a gateway of one process


@dataclass(frozen=True)
class DriftRow:
    """One feature over a span: what is said of it, its counts and the reference's, and the PSI of each part of the
    span, None where there was too little.
    """

    feature: ReferenceFeature
    drift: FeatureDrift
    current: FeatureCounts
    over_time: list[float | None]

    @property
    def bins(self) -> list[tuple[str, float, float]]:
        """Label, share of the reference, share of the current values: what the two histograms show."""
        known, seen = self.feature.counts, self.current
        extra: list[tuple[str, int, int]] = [("missing", known.missing, seen.missing)]
        if self.feature.plan.kind == "category":
            extra.append(("not in the reference", known.unseen, seen.unseen))
        pairs: list[tuple[str, int, int]] = [*zip(bin_labels(self.feature), known.bins, seen.bins, strict=True), *extra]
        total, total_seen = sum(one for _, one, _ in pairs) or 1, sum(other for _, _, other in pairs) or 1
        return [(label, one / total, other / total_seen) for label, one, other in pairs]


@dataclass(frozen=True)
class DriftTable:
    """The features of one part (inputs of a version, or predictions). `why_none` says why there are no rows."""

    reference: DriftReference | None
    requests: int
    unread: int
    rows: list[DriftRow]
    why_none: str = ""


def bin_labels(feature: ReferenceFeature) -> list[str]:
    """What each bin holds, as people read it."""
    if feature.plan.kind == "category":
        return list(feature.labels)
    edges = [f"{edge:.4g}" for edge in feature.plan.edges]
    if not edges:
        return ["all"]
    return [
        f"below {edges[0]}",
        *(f"{low} to {high}" for low, high in pairwise(edges)),
        f"{edges[-1]} and above",
    ]


def drift_table(place: WatchedEndpoint, version: int, *, since: datetime, until: datetime) -> DriftTable:
    """Drift of the inputs of a version; with version 0 of the endpoint's predictions. Two queries."""
    own = {"environment": place.environment, "endpoint": place.name}
    reference = DriftReference.objects.filter(**own, version=version).first()
    if reference is None:
        return DriftTable(None, 0, 0, [], "No request was sampled yet, or the version has no input example.")
    if reference.is_learning:
        return DriftTable(reference, 0, 0, [], "The reference is being learned from sampled requests.")
    rows = DriftWindow.objects.filter(
        environment=place.environment.name, endpoint=place.name, start__gte=since, start__lt=until
    )
    if version:
        rows = rows.filter(version=version, plan__startswith=f"{reference.digest}.")
    else:
        rows = rows.filter(plan__endswith=f".{reference.digest}")
    windows = list(rows.order_by("start"))
    return _table(reference, windows, since, until - since)


def _table(reference: DriftReference, windows: list[DriftWindow], since: datetime, span: timedelta) -> DriftTable:
    part = "inputs" if reference.version else "predictions"
    parts: list[list[DriftWindow]] = [[] for _ in range(SPARK_PARTS)]
    for window in windows:
        parts[min(int((window.start - since) / span * SPARK_PARTS), SPARK_PARTS - 1)].append(window)
    requests = sum(_answered(window, part) for window in windows)
    features = reference.known_features()
    rows = []
    for feature in features:
        by_part = [_counts(feature.plan, some, part) for some in parts]
        whole = counts_for(feature.plan)
        for some in by_part:
            whole.merge(some)
        against = {"features": len(features)}
        drift = feature_drift(feature.plan, feature.counts, whole, requests=requests, **against)
        over_time = [
            feature_drift(
                feature.plan, feature.counts, some, requests=sum(_answered(one, part) for one in held), **against
            ).psi
            for some, held in zip(by_part, parts, strict=True)
        ]
        rows.append(DriftRow(feature, drift, whole, over_time))
    return DriftTable(reference, requests, sum(window.unread for window in windows), rows)


def _answered(window: DriftWindow, part: str) -> int:
    return window.requests - window.unread if part == "inputs" else window.answers


def _counts(plan: FeaturePlan, windows: Iterable[DriftWindow], part: str) -> FeatureCounts:
    total = counts_for(plan)
    for window in windows:
        told: dict[str, Any] = getattr(window, part)
        if plan.name in told:
            counts = shapes.convert(FeatureCounts, told[plan.name])
            if len(counts.bins) == len(total.bins):  # a gateway may be wrong, the page must not fail
                total.merge(counts)
    return total


def prediction_shift(
    environment: str, endpoint: str, *, arms: tuple[tuple[str, str], tuple[str, str]], since: datetime, alpha: float
) -> list[tuple[str, Shift]]:
    """Per column of predictions the shift of the first arm from the second, each given as arm and release (empty for
    any), in windows that began at `since` or later and in which both were asked. Empty while nothing can be compared.
    """
    reference = DriftReference.objects.filter(
        environment__name=environment, endpoint=endpoint, version=0, is_learning=False
    ).first()
    if reference is None:
        return []
    rows = DriftWindow.objects.filter(
        environment=environment, endpoint=endpoint, start__gte=since, plan__endswith=f".{reference.digest}"
    )
    windows = list(rows.order_by("-start")[:SHIFT_WINDOWS_MAX])
    sides = [[row for row in windows if row.arm == arm and release in ("", row.release)] for arm, release in arms]
    both = {row.start for row in sides[0]} & {row.start for row in sides[1]}
    together = [[row for row in side if row.start in both] for side in sides]
    features = reference.known_features()
    found = []
    for feature in features:
        one, other = (_counts(feature.plan, side, "predictions") for side in together)
        is_ordered = feature.plan.kind != "category"
        bins = [[*some.bins, some.missing, some.wrong, *([] if is_ordered else [some.unseen])] for some in (one, other)]
        if (moved := shift(*bins, is_ordered=is_ordered, alpha=alpha / len(features))) is not None:
            found.append((feature.plan.name, moved))
    return found
