"""Which files a policy keeps restorable after they stopped serving, and until when (reads the database).

What served is what had a share of an endpoint's traffic, by the changes of traffic. It served under the revision that
its release froze, and under those that ruled its model while it served; the one that keeps longest counts.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from deployments.models import Release, TrafficChange
from registry.models import Policy
from registry.policy_lines import ruling_of
from registry.retention import Keeping


@dataclass(frozen=True)
class ServedStay:
    """A release had a share of the traffic of an endpoint from `began` until `ended`."""

    release: str
    environment: int
    began: datetime
    ended: datetime


def files_kept(now: datetime) -> dict[str, Keeping]:
    """Digest → until when a policy keeps its files, of what stopped serving; what serves is needed anyway."""
    revisions: dict[int, list[Policy]] = {}
    for policy in Policy.objects.select_related("environment", "model").order_by("pk"):
        revisions.setdefault(policy.environment_id, []).append(policy)
    longest = {key: max(policy.artifacts_kept_days for policy in found) for key, found in revisions.items()}
    places = [key for key, days in longest.items() if days]
    stays = [stay for stay in _stays(places) if stay.ended + timedelta(days=longest[stay.environment]) > now]
    releases = _releases(stays)
    kept: dict[str, Keeping] = {}
    for stay in stays:
        release = releases[stay.release]
        policy = _keeps_longest(stay, release, revisions[stay.environment])
        until = stay.ended + timedelta(days=policy.artifacts_kept_days)
        digest = release["digest"] or release["restores__digest"]
        if digest and until > now and (digest not in kept or kept[digest].until < until):
            kept[digest] = Keeping(until, policy.pk)
    return kept


def _stays(environments: list[int]) -> Iterator[ServedStay]:
    """The stays that have ended, endpoint by endpoint."""
    rows = TrafficChange.objects.filter(endpoint__environment__in=environments).order_by("endpoint", "id")
    fields = ("endpoint", "endpoint__environment", "at", "arms", "is_retired")
    place, serving = None, dict[str, datetime]()
    for endpoint, environment, at, arms, is_retired in rows.values_list(*fields).iterator():
        if endpoint != place:
            place, serving = endpoint, {}
        there = set() if is_retired else {arm["release"] for arm in arms if arm["weight_pct"] > 0}
        for release in serving.keys() - there:
            yield ServedStay(release, environment, serving.pop(release), at)
        serving |= dict.fromkeys(there - serving.keys(), at)


def _releases(stays: Iterable[ServedStay]) -> dict[str, dict[str, Any]]:
    rows = Release.objects.filter(pk__in={stay.release for stay in stays}).order_by()
    fields = ("pk", "digest", "restores__digest", "policy", "endpoint__model", "plan__risk_tier")
    return {str(row["pk"]): row for row in rows.values(*fields)}


def _keeps_longest(stay: ServedStay, release: dict[str, Any], revisions: list[Policy]) -> Policy:
    """Of the revision that the release froze and those that ruled its model while it served."""
    frozen = next(policy for policy in revisions if policy.pk == release["policy"])
    moments = [stay.began, *(one.created_at for one in revisions if stay.began < one.created_at < stay.ended)]
    ruling = [
        ruling_of(_in_force(revisions, at), release["endpoint__model"], release["plan__risk_tier"] or "")
        for at in moments
    ]
    return max((policy for policy in (frozen, *ruling) if policy), key=lambda policy: policy.artifacts_kept_days)


def _in_force(revisions: list[Policy], at: datetime) -> list[Policy]:
    return [one for one in revisions if one.created_at <= at and (one.retired_at is None or one.retired_at > at)]
