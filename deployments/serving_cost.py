"""What serving cost: the replicas of what was in the traffic, for as long as it was there (reads the database)."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from deployments.models import Endpoint, Release, TrafficChange
from mlorch_site.lib import clock

COST_RESTS_ON = (
    "Replicas of each version, as its serving config says, for as long as it was in an endpoint's traffic, times the "
    "cost per replica-hour of that config. Replicas that start, drain or are kept warm are not in it, nor what an "
    "autoscaler added."
)
DAY_S = 86_400

type_Stands = list[tuple[datetime, list[dict[str, Any]]]]


@dataclass(frozen=True)
class ServingCost:
    """`amount` in the currency of the serving configs; `is_stated` when each of them says what a replica costs."""

    amount: float
    replica_hours: float
    is_stated: bool


def serving_cost(endpoints: QuerySet[Endpoint], since: datetime, until: datetime) -> ServingCost:
    """The replica-hours of what was in the traffic of the endpoints over a span, and what they cost. Three queries."""
    hours: dict[str, float] = defaultdict(float)
    for stands in _stood(endpoints, since, until).values():
        for began, ended, arms in _spans(stands, min(until, clock.now())):
            for release in {arm["release"] for arm in arms}:
                hours[release] += (ended - began).total_seconds() / 3600
    configs = Release.objects.filter(pk__in=list(hours)).values_list(
        "pk", "serving_config__replicas", "serving_config__cost_per_replica_hour"
    )
    replica_hours, amount, is_stated = 0.0, 0.0, True
    for release, replicas, cost in configs:
        replica_hours += hours[str(release)] * replicas
        amount += hours[str(release)] * replicas * float(cost)
        is_stated = is_stated and bool(cost)
    return ServingCost(amount, replica_hours, is_stated)


def cost_per_day(environment: str, endpoint: str, since: datetime, until: datetime) -> float | None:
    """What an endpoint cost over a span, as an amount a day; None when a serving config does not say what a replica
    costs.
    """
    found = serving_cost(Endpoint.objects.filter(environment__name=environment, name=endpoint), since, until)
    return found.amount * DAY_S / (until - since).total_seconds() if found.is_stated else None


def _stood(endpoints: QuerySet[Endpoint], since: datetime, until: datetime) -> dict[Any, type_Stands]:
    """By endpoint how it stood from when on."""
    before = TrafficChange.objects.filter(endpoint=OuterRef("pk"), at__lt=since).order_by("-id").values("pk")[:1]
    first = endpoints.order_by().annotate(change=Subquery(before)).exclude(change=None).values("change")
    names = ("endpoint_id", "at", "arms")
    changes = [*TrafficChange.objects.filter(pk__in=first).values_list(*names)]
    keys = endpoints.order_by().values("pk")
    within = TrafficChange.objects.filter(endpoint__in=keys, at__gte=since, at__lt=until)
    changes += within.order_by("id").values_list(*names)
    stood: dict[Any, type_Stands] = defaultdict(list)
    for endpoint, at, arms in changes:
        stood[endpoint].append((max(at, since), arms))
    return stood


def _spans(stands: type_Stands, until: datetime) -> Iterator[tuple[datetime, datetime, list[dict[str, Any]]]]:
    """From when until when an endpoint stood how."""
    for place, (began, arms) in enumerate(stands):
        ended = stands[place + 1][0] if place + 1 < len(stands) else until
        if ended > began:
            yield began, ended, arms
