"""Reads of telemetry.

Endpoints are named by environment and name; whether somebody may see them is the caller's question.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import FloatField, Max, Q, QuerySet, Subquery, Sum
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce

from dataplane.wire.histogram import BUCKET_MIN, Histogram, merged
from dataplane.wire.window_batch import UNIT_OUTCOMES
from mlorch_site.lib import clock
from monitoring.analysis.judge import ArmCounts, Block, BucketCounts, slo_key
from monitoring.models import KEPT, RollUpCursor, Window
from monitoring.points import Point

CANDIDATE = "candidate"
STABLE = "stable"
SHADOW = "shadow"  # its requests are copies: no client asked them
BLOCK_WINDOWS_MAX = 20_000
BLOCK_BUCKETS_MAX = 100_000  # of units, of all windows that one look reads; some tens of megabytes
BLOCK_READ_ROWS = 500
SERIES_ROWS_MAX = 5_000
SPAN_WINDOWS = 100  # a sum over a span is read from roll-ups once the span has that many of them
ROLLED_UP_FROM = timedelta(minutes=2)  # shorter spans are read from one-second windows alone
POINTS_WANTED = 600
RATE_SPAN_S = 30
CHART_SPAN = timedelta(minutes=10)
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def errors_of(window: Window) -> int:
    """The requests that failed by the version's fault."""
    return window.server_errors + window.timeouts


def arm_counts_since(
    *,
    environment: str,
    endpoint: str,
    release: str,
    after_id: int,
    not_before: datetime,
    slos_ms: list[float],
    candidate_arm: str = CANDIDATE,
    baseline_arm: str = STABLE,
) -> tuple[list[Block], int]:
    """The blocks of windows that arrived after the window `after_id`, and the newest id seen.

    One block per second, over all gateways, with the buckets of units that were counted against all of `slos_ms`. The
    candidate's windows must be of `release` and of `candidate_arm` (`shadow` while it is mirrored only), and so must
    those of a `baseline_arm` that was started with it; the stable arm's may be of any. Windows that started before
    `not_before` are passed over. A late window makes a block of its own, which the e-process allows. What is more than
    one look takes comes with the next one.
    """
    rows = Window.objects.filter(
        environment=environment, endpoint=endpoint, seconds=1, id__gt=after_id, start__gte=not_before
    )
    seconds: dict[datetime, dict[str, list[Window]]] = defaultdict(lambda: defaultdict(list))
    newest, buckets = after_id, 0
    for window in rows.order_by("id")[:BLOCK_WINDOWS_MAX].iterator(BLOCK_READ_ROWS):
        newest = window.pk
        is_mine = window.release == release and window.arm in (candidate_arm, baseline_arm)
        if is_mine or window.arm == baseline_arm == STABLE:
            seconds[window.start][window.arm].append(window)
            buckets += len(window.units["buckets"]) if window.units else 0
        if buckets > BLOCK_BUCKETS_MAX:
            break
    blocks = [
        Block(
            start=int(start.timestamp()),
            candidate=_arm_counts(arms.get(candidate_arm, []), slos_ms),
            baseline=_arm_counts(arms.get(baseline_arm, []), slos_ms),
        )
        for start, arms in sorted(seconds.items())
    ]
    return blocks, newest


def _arm_counts(windows: Iterable[Window], slos_ms: list[float]) -> ArmCounts:
    windows = list(windows)
    over = dict.fromkeys((slo_key(slo) for slo in slos_ms), 0)
    latency: dict[int, int] = defaultdict(int)
    for window in windows:
        histogram = Histogram.from_dict(window.latency)
        for bucket, count in histogram.buckets.items():
            latency[bucket] += count
        if histogram.zero:
            latency[BUCKET_MIN - 1] += histogram.zero
        for slo in slos_ms:
            over[slo_key(slo)] += histogram.count_over(slo)
    return ArmCounts(
        requests=sum(window.requests for window in windows),
        errors=sum(errors_of(window) for window in windows),
        client_errors=sum(window.client_errors for window in windows),
        over_slo=over,
        buckets=_buckets(windows, [slo_key(slo) for slo in slos_ms]),
        latency=dict(latency),
    )


def _buckets(windows: list[Window], wanted: list[str]) -> dict[int, BucketCounts]:
    """The counts of each unit bucket over all gateways. A window that was counted against other objectives than all
    `wanted` ones has nothing to say per unit; its requests are then in no bucket.
    """
    sums: dict[str, list[int]] = {}
    for window in windows:
        counted = window.units or {"slos_ms": [], "buckets": {}}
        names = [*UNIT_OUTCOMES, *(slo_key(slo) for slo in counted["slos_ms"])]
        if not set(wanted) <= set(names):
            continue
        places = [names.index(name) for name in (*UNIT_OUTCOMES, *wanted)]
        for bucket, counts in counted["buckets"].items():
            before = sums.get(bucket, [0] * len(places))
            sums[bucket] = [known + counts[place] for known, place in zip(before, places, strict=True)]
    return {
        int(bucket): BucketCounts(requests, errors, client_errors, dict(zip(wanted, over, strict=True)))
        for bucket, (requests, errors, client_errors, *over) in sums.items()
    }


def drawn_since(
    *, environment: str, endpoint: str, release: str, since: datetime, now: datetime
) -> tuple[int, int, int]:
    """The drawn requests of the candidate (of `release`), of the stable arm, and of the release's fresh baseline in the
    windows that began at `since` or later.
    """
    rows = spanning(since, now).filter(environment=environment, endpoint=endpoint)
    counted = rows.aggregate(
        candidate=Sum("drawn", filter=Q(arm=CANDIDATE, release=release)),
        stable=Sum("drawn", filter=Q(arm=STABLE)),
        baseline=Sum("drawn", filter=Q(arm="baseline", release=release)),
    )
    return counted["candidate"] or 0, counted["stable"] or 0, counted["baseline"] or 0


def slowest_answer_s(*, environment: str, endpoint: str, since: datetime, now: datetime) -> float:
    """How long the slowest answer in the windows that began at `since` or later took, 0 without any."""
    rows = spanning(since, now).filter(environment=environment, endpoint=endpoint)
    slowest = rows.aggregate(slowest_ms=Max(Cast(KeyTextTransform("max_ms", "latency"), FloatField())))
    return float(slowest["slowest_ms"] or 0.0) / 1000


def spanning(since: datetime, now: datetime) -> "QuerySet[Window]":
    """The windows from `since` on in a width that keeps them few; what a wide one cuts off at the start is 1 % at
    most.
    """
    span_s = (now - since).total_seconds()
    return rolled_up(max(width for width in KEPT if width == 1 or width * SPAN_WINDOWS <= span_s), since)


def newest_window_age_s() -> float:
    """How many seconds ago the newest one-second window began, -1 without any."""
    start = Window.objects.filter(seconds=1).aggregate(newest=Max("start"))["newest"]
    return -1 if start is None else (clock.now() - start).total_seconds()


def windows_not_rolled_up() -> int:
    """How many one-second windows are not in the roll-ups yet."""
    return Window.objects.filter(seconds=1, id__gt=_rolled_up_to()).count()


def _rolled_up_to() -> Coalesce:
    return Coalesce(Subquery(RollUpCursor.objects.filter(pk=1).values("window_id")), 0)


def traffic_rate(environment: str, endpoint: str) -> float:
    """The clients' requests per second to the endpoint over the last `RATE_SPAN_S` full seconds."""
    until = clock.now() - timedelta(seconds=2)
    rows = Window.objects.filter(
        environment=environment,
        endpoint=endpoint,
        seconds=1,
        start__gte=until - timedelta(seconds=RATE_SPAN_S),
        start__lt=until,
    ).exclude(arm=SHADOW)
    return float(rows.aggregate(total=Sum("requests"))["total"] or 0) / RATE_SPAN_S


def requests_total(environment: str, endpoint: str, *, minutes: int) -> int:
    """How often clients asked the endpoint over the last `minutes`."""
    windows, _ = _last(minutes)
    rows = windows.filter(environment=environment, endpoint=endpoint).exclude(arm=SHADOW)
    return int(rows.aggregate(total=Sum("requests"))["total"] or 0)


def last_request_at(environment: str, endpoint: str) -> datetime | None:
    """When a client last asked the endpoint, to the width of the windows that are kept of it."""
    rows = Window.objects.filter(environment=environment, endpoint=endpoint).exclude(arm=SHADOW)
    return rows.order_by("-start").values_list("start", flat=True).first()


def points_of(windows: Iterable[Window], seconds: int) -> list[Point]:
    """Merge windows of several gateways into points of `seconds`, in time order."""
    groups: dict[tuple[int, str, int], list[Window]] = defaultdict(list)
    for window in windows:
        groups[int(window.start.timestamp()) // seconds * seconds, window.arm, window.version].append(window)
    points = []
    for (start, arm, version), parts in sorted(groups.items()):
        histogram = merged(part.latency for part in parts)
        points.append(
            Point(
                start=clock.from_unix(start),
                seconds=seconds,
                arm=arm,
                version=version,
                requests=sum(part.requests for part in parts),
                errors=sum(errors_of(part) for part in parts),
                client_errors=sum(part.client_errors for part in parts),
                compared=sum(part.compared for part in parts),
                agreed=sum(part.agreed for part in parts),
                **_quantiles(histogram),
            )
        )
    return points


def rolled_up(width: int, start: datetime) -> "QuerySet[Window]":
    """The windows from `start` on as roll-ups of `width` seconds, and as themselves those not rolled up yet.

    One statement, so that a roll-up that ends meanwhile counts nothing twice.
    """
    if width == 1:
        return Window.objects.filter(seconds=1, start__gte=start).defer("units")
    either = Q(seconds=width) | Q(seconds=1, id__gt=_rolled_up_to())
    # That it is one of both widths follows, but only said outright it lets the index be used.
    return Window.objects.filter(either, seconds__in=(1, width), start__gte=start).defer("units")


def series(
    environment: str, endpoint: str, *, since: datetime, until: datetime | None = None, seconds: int = 1
) -> list[Point]:
    """The points of all arms in a span; wider points are read from the roll-up that fits."""
    width = max(width for width in KEPT if width <= seconds)
    rows = rolled_up(width, since).filter(environment=environment, endpoint=endpoint)
    if until is not None:
        rows = rows.filter(start__lt=until)
    newest_first = rows.order_by("-start", "-id")[:SERIES_ROWS_MAX]
    return points_of(newest_first, seconds)


def series_of_span(environment: str, endpoint: str, *, since: datetime, until: datetime) -> list[Point]:
    """The points of a span that is over, in the width that suits it."""
    return series(environment, endpoint, since=since, until=until, seconds=point_width(since, until))


def point_width(since: datetime, until: datetime) -> int:
    """The finest width in seconds that is still kept of a span and gives a chart, not a carpet."""
    age, span_s = clock.now() - since, (until - since).total_seconds()
    fitting = [width for width, kept in KEPT.items() if age < kept and span_s / width <= POINTS_WANTED]
    return min(fitting, default=max(KEPT))


def newest_window(environment: str, endpoint: str) -> int:
    """The id of the endpoint's newest one-second window, 0 without any."""
    own = Window.objects.filter(environment=environment, endpoint=endpoint, seconds=1)
    return own.aggregate(newest=Max("id"))["newest"] or 0


def series_after(environment: str, endpoint: str, *, after_id: int, not_before: datetime) -> tuple[list[Point], int]:
    """The one-second points touched by windows that arrived after `after_id`, whole, and the newest id.

    With them come the points of the last second of each arm, so that it can be said how every arm stands. Points that
    began before `not_before` are passed over: a chart does not show them any more.
    """
    newest = newest_window(environment, endpoint)
    if newest <= after_id:
        return [], after_id
    own = Window.objects.filter(environment=environment, endpoint=endpoint, seconds=1)
    shown = own.filter(id__lte=newest, start__gte=not_before)
    fresh = shown.filter(id__gt=after_id).values("start")
    last = shown.order_by().values("arm").annotate(last=Max("start")).values("last")
    rows = shown.filter(Q(start__in=fresh) | Q(start__in=last)).defer("units").order_by("-start", "-id")
    return points_of(rows[:SERIES_ROWS_MAX], 1), newest


@dataclass(frozen=True)
class Summary:
    """What an arm (or all that answer clients together) did over the last minutes."""

    arm: str
    requests: int
    rate: float
    errors: int
    error_share: float | None
    p50: float | None
    p95: float | None
    p99: float | None


def summary(environment: str, endpoint: str, *, minutes: int, born: datetime | None = None) -> list[Summary]:
    """One summary per arm, and one with the arm `all` (without copies), over the last `minutes`.

    `born` is when the endpoint was made: the rates of a younger one are over its life.
    """
    windows, span_s = _last(minutes)
    seconds = _lived(span_s, born)
    rows = list(windows.filter(environment=environment, endpoint=endpoint))
    arms = sorted({window.arm for window in rows})
    return [
        _summary("all", [row for row in rows if row.arm != SHADOW], seconds),
        *(_summary(arm, [row for row in rows if row.arm == arm], seconds) for arm in arms),
    ]


def totals(places: dict[tuple[str, str], datetime | None], *, minutes: int) -> dict[tuple[str, str], Summary]:
    """The summary over all arms that answer clients of each (environment, endpoint) → when it was made, in one query
    however many there are.
    """
    wanted = set(places)
    windows, seconds = _last(minutes)
    found: dict[tuple[str, str], list[Window]] = {place: [] for place in wanted}
    environments, endpoints = {place[0] for place in wanted}, {place[1] for place in wanted}
    for window in windows.filter(environment__in=environments, endpoint__in=endpoints).exclude(arm=SHADOW):
        if (window.environment, window.endpoint) in found:
            found[window.environment, window.endpoint].append(window)
    return {place: _summary("all", rows, _lived(seconds, places[place])) for place, rows in found.items()}


def _lived(seconds: float, born: datetime | None) -> float:
    """How much of a span up to now an endpoint has lived, at least a second."""
    return seconds if born is None else min(seconds, max(1.0, (clock.now() - born).total_seconds()))


def _last(minutes: int) -> "tuple[QuerySet[Window], float]":
    """The windows of the last `minutes`, in a width that keeps them few, and how many seconds they span."""
    span = timedelta(minutes=minutes)
    width = 1 if span <= ROLLED_UP_FROM else 10 if span < KEPT[10] else 60 if span < KEPT[60] else 600
    now = clock.now()
    since = clock.from_unix(int((now - span).timestamp()) // width * width)
    return rolled_up(width, since), (now - since).total_seconds()


def _summary(arm: str, rows: list[Window], seconds: float) -> Summary:
    histogram = merged(row.latency for row in rows)
    requests, errors = sum(row.requests for row in rows), sum(errors_of(row) for row in rows)
    share = errors / requests if requests else None
    return Summary(arm, requests, requests / seconds, errors, share, **_quantiles(histogram))


def _quantiles(histogram: Histogram) -> dict[str, float | None]:
    return dict(zip(QUANTILES, histogram.quantiles(list(QUANTILES.values())), strict=True))
