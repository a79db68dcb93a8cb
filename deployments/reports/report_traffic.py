"""What a report says of the traffic: weights as they were wanted and as they were seen, and the figures of its charts,
in a bounded number of points.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from deployments.lifecycle import Phase
from deployments.models import Release, ReleaseEvent, TrafficChange
from mlorch_site.lib import clock
from monitoring.models import KEPT
from monitoring.points import Point
from monitoring.selectors import SHADOW, series

BEFORE = timedelta(seconds=60)  # what came just before is kept for comparison
POINTS_MAX = 120  # per arm and version
LINES_MAX = 12  # arms and versions
COLUMNS = ["at_s", "requests", "errors", "p50_ms", "p95_ms", "p99_ms"]
PUBLISHING = (Phase.SHIFTING, Phase.PROMOTING, Phase.REVERTING)
# Lines that come once every gateway obeys, or once nobody waits for it any more.
TELLING = ("rollout.step", "rollout.not_obeyed", "release.succeeded", "release.rolled_back", "release.aborted")


@dataclass(frozen=True)
class PointsAround:
    """The points of a rollout from shortly before it until its end, each of `width_s` seconds."""

    since: datetime
    until: datetime
    width_s: int
    points: list[Point]


def points_around(release: Release) -> PointsAround | None:
    """The points of the endpoint while a release rolled out; None when it never began."""
    if release.started_at is None or release.ended_at is None:
        return None
    since, until = release.started_at - BEFORE, release.ended_at
    width = _width(until - since, clock.now() - since)
    place = release.endpoint.environment.name, release.endpoint.name
    return PointsAround(since, until, width, series(*place, since=since, until=until, seconds=width))


def _width(span: timedelta, age: timedelta) -> int:
    """The finest width that is still kept and gives few enough points."""
    fitting = [width for width, kept in KEPT.items() if age < kept and span.total_seconds() / width <= POINTS_MAX]
    return min(fitting, default=max(KEPT))


def figures_of(release: Release, around: PointsAround | None) -> dict[str, Any] | None:
    """What the charts show: per arm and version rows of `columns`, `at_s` in seconds since the rollout began."""
    if around is None or release.started_at is None:
        return None
    began = release.started_at.timestamp()
    lines: dict[tuple[str, int], list[list[Any]]] = defaultdict(list)
    for point in around.points:
        at = round(point.start.timestamp() - began, 3)
        row = [at, point.requests, point.errors, *map(_rounded, (point.p50, point.p95, point.p99))]
        lines[point.arm, point.version].append(row)
    kept = sorted(lines.items())[:LINES_MAX]
    return {
        "since": around.since.isoformat(),
        "began": release.started_at.isoformat(),
        "until": around.until.isoformat(),
        "width_s": around.width_s,
        "columns": COLUMNS,
        "lines": [{"arm": arm, "version": version, "rows": rows[-POINTS_MAX:]} for (arm, version), rows in kept],
        "lines_left_out": len(lines) - len(kept),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def weights_of(release: Release, events: Sequence[ReleaseEvent], around: PointsAround | None) -> list[dict[str, Any]]:
    """Each change of the traffic by the rollout: what was wanted, since when every gateway obeyed, and what was seen
    until the next change. `seen` counts whole points only, so what lies across a change is in neither side.
    """
    changes = list(TrafficChange.objects.filter(release=release).order_by("id"))
    named = {arm["release"] for change in changes for arm in change.arms}
    numbers = dict(Release.objects.filter(pk__in=named).values_list("pk", "version__number"))
    versions = {str(pk): number for pk, number in numbers.items()}
    rows = []
    for place, change in enumerate(changes):
        end = changes[place + 1].at if place + 1 < len(changes) else release.ended_at
        obeyed_at = _obeyed_at(change, events)
        seen = _seen(around, obeyed_at, end) if around and obeyed_at and end else []
        rows.append(
            {
                "at": change.at.isoformat(),
                "sentence": change.sentence,
                "revision": change.route_revision,
                "wanted": [
                    {
                        "arm": arm["arm"],
                        "version": versions.get(arm["release"]),
                        "weight_pct": arm["weight_pct"],
                        "mirror_pct": arm.get("mirror_pct", 0),
                    }
                    for arm in change.arms
                ],
                "obeyed_at": obeyed_at.isoformat() if obeyed_at else None,
                "seen": seen,
            }
        )
    return rows


def _obeyed_at(change: TrafficChange, events: Sequence[ReleaseEvent]) -> datetime | None:
    """When every gateway was known to obey: the first line after the one that published it. None where the rollout
    ended before that was known, or by its deadline.
    """
    for place, event in enumerate(events):
        is_own = event.kind == "rollout.step" and event.new in PUBLISHING
        if is_own and event.data.get("route_revision") == change.route_revision:
            after = next((one for one in events[place + 1 :] if one.kind in TELLING), None)
            is_obeyed = after is not None and after.kind != "rollout.not_obeyed" and after.new != Phase.REVERTING
            return after.at if is_obeyed and after is not None else None
    return None


def _seen(around: PointsAround, since: datetime, until: datetime) -> list[dict[str, Any]]:
    """The requests of each arm in the points that lie within a span, and its share of those that clients got answers
    of.
    """
    width = timedelta(seconds=around.width_s)
    within = [point for point in around.points if since <= point.start and point.start + width <= until]
    counts: dict[tuple[str, int], int] = defaultdict(int)
    for point in within:
        counts[point.arm, point.version] += point.requests
    asked = sum(count for (arm, _), count in counts.items() if arm != SHADOW)
    return [
        {
            "arm": arm,
            "version": version,
            "requests": count,
            "share_pct": round(100 * count / asked, 2) if asked and arm != SHADOW else None,
        }
        for (arm, version), count in sorted(counts.items())
    ]
