"""Asking Prometheus about the arms of rollouts that its metrics judge. Never in a look: a server may be slow."""

from datetime import datetime

import structlog

from deployments.lifecycle import LIVE_STATUSES, Arm, Phase
from deployments.models import Release
from deployments.rollout.guardrails.prometheus_metric import PREFIX, metric_query_of
from monitoring.models import MetricQuery
from monitoring.services import metric_read

log = structlog.get_logger(__name__)


def metrics_read(*, now: datetime) -> int:
    """Ask what the live rollouts need to know now, arm by arm; return how many answers were kept."""
    kept = 0
    for release in _judged():
        wanted = {row["metric"] for row in release.guardrails if row["metric"].startswith(PREFIX)}
        for metric in sorted(wanted):
            query = metric_query_of(release, metric)
            if query is not None and query.ended_at is None:
                kept += _read(release, query, now)
    return kept


def metrics_are_due() -> bool:
    """Whether a live rollout is judged by such a metric. Cheap: asked every ten seconds."""
    return bool(_judged())


def _judged() -> list[Release]:
    """The releases whose candidate has traffic, and that are judged by what Prometheus says."""
    rows = Release.objects.filter(status__in=LIVE_STATUSES, rollout__watched_at__isnull=False)
    rows = rows.exclude(rollout__phase__in=(Phase.REVERTING, Phase.DONE)).exclude(guardrails=[])
    found = rows.select_related("rollout", "version", "replaces__version", "endpoint__environment", "endpoint__model")
    return [one for one in found if any(row["metric"].startswith(PREFIX) for row in one.guardrails)]


def _read(release: Release, query: MetricQuery, now: datetime) -> int:
    arms = {Arm.CANDIDATE: release}
    if release.replaces is not None:
        arms[Arm.STABLE] = release.replaces
    for arm, of in arms.items():
        named = {
            "endpoint": release.endpoint.name,
            "environment": release.endpoint.environment.name,
            "arm": arm.value,
            "version": str(of.version.number),
            "release": str(of.pk),
        }
        reading = metric_read(query=query, judged=str(release.pk), named=named, now=now)
        if reading.reason:
            log.info("metric.no_data", query=str(query), arm=arm.value, reason=reading.reason)
    return len(arms)
