"""Figures of an endpoint that no gateway counts: what it cost, which the app above tells, and acts of the audit record.

Reads the database.
"""

from collections.abc import Callable
from datetime import datetime

from django.db.models import Exists, OuterRef

from mlorch_site.audit.models import AuditRecord, AuditScope
from monitoring.alerts.lifecycle import ACTIONS, WatchedAct
from monitoring.watched_endpoint import WatchedEndpoint

type_Cost = Callable[[str, str, datetime, datetime], float | None]
_cost: list[type_Cost] = []


def register(*, cost: type_Cost) -> None:
    """Let `cost(environment, endpoint, since, until)` say what an endpoint cost over a span, as an amount a day; None
    when that is not known.
    """
    _cost[:] = [cost]


def cost_per_day(environment: str, endpoint: str, *, since: datetime, until: datetime) -> float | None:
    """What an endpoint cost, as an amount a day; None when nobody knows."""
    return _cost[0](environment, endpoint, since, until) if _cost else None


def acts_counted(place: WatchedEndpoint, act: WatchedAct, *, since: datetime, until: datetime) -> int:
    """How many acts of a kind were recorded about the environment or the model of an endpoint, and about no other."""
    scopes = AuditScope.objects.filter(record=OuterRef("pk"))
    rows = AuditRecord.objects.filter(action__in=ACTIONS[act], at__gt=since, at__lte=until)
    rows = rows.filter(Exists(scopes.filter(scope__in=place.scopes)))
    return rows.exclude(Exists(scopes.exclude(scope__in=place.scopes))).count()
