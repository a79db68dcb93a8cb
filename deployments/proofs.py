"""How the files of a release did wherever they served before: so long, for so many requests, and whether well."""

from collections.abc import Iterable
from datetime import datetime

from django.db.models import Sum

from deployments.biography import biography
from deployments.models import Endpoint, Release, TrafficChange
from mlorch_site.lib import clock
from monitoring.selectors import SHADOW, spanning
from registry.gates.base import Proof

CHANGES_MAX = 5000
ERRORS_MAX = 0.01  # of a release that has no guardrail on them


def proofs(release: Release) -> tuple[Proof, ...]:
    """Where the files of a release had all traffic, by endpoint (reads the database)."""
    digest = release.digest or release.version.digest
    if not digest:
        return ()
    same = list(Release.objects.filter(digest=digest).exclude(pk=release.pk).select_related("endpoint__environment"))
    back = {stay.release.endpoint_id: stay.why for stay in biography(release) if stay.is_taken_back}
    places = {row.endpoint_id: row.endpoint for row in same}
    found = []
    for key, endpoint in places.items():
        there = [row for row in same if row.endpoint_id == key]
        proof = _proof(endpoint, there, back.get(key, ""), clock.now())
        if proof is not None:
            found.append(proof)
    return tuple(found)


def _proof(endpoint: Endpoint, releases: list[Release], taken_back: str, now: datetime) -> Proof | None:
    """What is known of the files at one endpoint; None when they never had all its traffic."""
    spans = _spans(endpoint, {str(row.pk) for row in releases}, now)
    if not spans and not taken_back:
        return None
    minutes = sum((until - since).total_seconds() for since, until in spans) / 60
    requests, errors = _counted(endpoint, releases, spans, now)
    return Proof(
        environment=endpoint.environment.name,
        endpoint=str(endpoint),
        minutes=minutes,
        requests=requests,
        why_not=f"taken back: {taken_back}" if taken_back else _why_ill(releases, requests, errors),
    )


def _spans(endpoint: Endpoint, releases: set[str], now: datetime) -> list[tuple[datetime, datetime]]:
    """When one of the releases was the stable one of the endpoint."""
    changes = list(TrafficChange.objects.filter(endpoint=endpoint).order_by("-id")[:CHANGES_MAX])[::-1]
    ends = [*(change.at for change in changes[1:]), now]
    return [
        (change.at, max(change.at, until))
        for change, until in zip(changes, ends, strict=True)
        if not change.is_retired and str(change.stable_release_id) in releases
    ]


def _counted(
    endpoint: Endpoint, releases: Iterable[Release], spans: list[tuple[datetime, datetime]], now: datetime
) -> tuple[int, int]:
    """How many requests clients asked the releases, and how many of them failed."""
    if not spans:
        return 0, 0
    rows = spanning(min(since for since, _ in spans), now).filter(
        environment=endpoint.environment.name, endpoint=endpoint.name, release__in=[str(row.pk) for row in releases]
    )
    sums = rows.exclude(arm=SHADOW).aggregate(
        requests=Sum("requests"), server=Sum("server_errors"), timeouts=Sum("timeouts")
    )
    return sums["requests"] or 0, (sums["server"] or 0) + (sums["timeouts"] or 0)


def _why_ill(releases: Iterable[Release], requests: int, errors: int) -> str:
    rows = [row for one in releases for row in one.guardrails if row.get("metric") == "error_rate"]
    margins = [row["margin"] for row in rows if "margin" in row]
    most = min([*margins, *([] if margins else [ERRORS_MAX])])
    if not requests or errors / requests <= most:
        return ""
    return f"{errors / requests * 100:.1f} % of {requests:,} requests failed."
