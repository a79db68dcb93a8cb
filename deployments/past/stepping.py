"""From change to change: the moments before and after an instant at which something that is shown changed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from deployments.models import Endpoint, ReleaseEvent, TrafficChange
from deployments.past.provenance import NOT_OF_THE_STATUS
from registry.facts import moments_of_model
from registry.models import Decision, Environment, Model

type_Moments = Iterable[tuple[QuerySet[Any], str]]


@dataclass(frozen=True)
class Neighbours:
    """The nearest changes: the last one before an instant, and the first one after it that has happened by now."""

    earlier: datetime | None
    later: datetime | None


def neighbours(moments: type_Moments, instant: datetime, *, since: datetime, now: datetime) -> Neighbours:
    """The nearest of these moments from `since`, before which there is nothing to show, until `now` (reads each of the
    querysets twice).
    """
    earlier, later = [], []
    for rows, field in moments:
        before = rows.filter(**{f"{field}__lt": instant, f"{field}__gte": since}).order_by(f"-{field}")
        after = rows.filter(**{f"{field}__gt": instant, f"{field}__lte": now}).order_by(field)
        earlier.append(before.values_list(field, flat=True).first())
        later.append(after.values_list(field, flat=True).first())
    return Neighbours(
        max((moment for moment in earlier if moment is not None), default=None),
        min((moment for moment in later if moment is not None), default=None),
    )


def moments_of_endpoint(endpoint: Endpoint) -> type_Moments:
    """What changes on the page of an endpoint."""
    lines = ReleaseEvent.objects.filter(release__endpoint=endpoint).exclude(new="")
    return [
        (endpoint.traffic_changes.all(), "at"),
        (lines.exclude(kind__startswith=NOT_OF_THE_STATUS), "at"),
        (Decision.objects.filter(request__release__endpoint=endpoint), "at"),
        (endpoint.configs.all(), "created_at"),
        (endpoint.environment.policies.all(), "created_at"),
        (endpoint.environment.policies.all(), "retired_at"),
        *moments_of_model(endpoint.model),
    ]


def moments_of_places(endpoints: QuerySet[Endpoint], subject: Model | Environment) -> type_Moments:
    """What changes on the page of a model or an environment, with these endpoints of it."""
    if isinstance(subject, Model):
        changes = TrafficChange.objects.filter(endpoint__in=endpoints.order_by().values("pk"))
        return [(changes, "at"), *moments_of_model(subject)]
    # Asked row by row, so that the index of the moments leads: an environment has very many changes.
    changes = TrafficChange.objects.filter(Exists(endpoints.filter(pk=OuterRef("endpoint"))))
    return [(changes, "at"), (subject.policies.all(), "created_at"), (subject.policies.all(), "retired_at")]
