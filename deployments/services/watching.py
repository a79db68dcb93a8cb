"""Objectives, alert rules and outcomes of endpoints: what only those can say who know the endpoints."""

import math

from django.db import transaction

from deployments.actors import ROLLOUT
from deployments.models import Endpoint
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, NotFound
from monitoring.alerts.lifecycle import ObjectiveKind, RuleKind
from monitoring.models import AlertRule, MetricQuery, Objective, OutcomeDefinition
from monitoring.selectors import requests_total, summary
from monitoring.services import ObjectiveWish, RuleWish, UsualSet, watch_end
from monitoring.watched_endpoint import WatchedEndpoint

DAY_MINUTES = 24 * 60
USUAL_AVAILABILITY_PCT, USUAL_LATENCY_PCT = 99.5, 95.0
SLO_WITHOUT_TRAFFIC_MS = 500.0
SLO_OVER_P95 = 2.0  # the usual time is so many times the P95 of the last day
STEADY_PER_MINUTE = 1  # asked so often on average, an endpoint that nobody asks for a while is news
ABSENT_MIN = 15


def watched(endpoint: Endpoint) -> WatchedEndpoint:
    """The endpoint as monitoring knows it."""
    return WatchedEndpoint(endpoint.environment, endpoint.model, endpoint.name)


def watched_in_use(endpoint: Endpoint) -> WatchedEndpoint:
    """The endpoint, to set something. Raises Conflict when it is retired."""
    if endpoint.retired_at is not None:
        raise Conflict(f"{endpoint} is retired; nothing of it is watched.")
    return watched(endpoint)


def objective_of(endpoint: Endpoint, pk: str) -> Objective:
    """One of an endpoint's objectives that hold. Raises NotFound."""
    found = watched(endpoint).objectives().filter(pk=pk).first()
    if found is None:
        raise NotFound("The endpoint has no such objective.")
    return found


def alert_rule_of(endpoint: Endpoint, pk: str) -> AlertRule:
    """One of an endpoint's rules that hold. Raises NotFound."""
    found = watched(endpoint).rules().filter(pk=pk).first()
    if found is None:
        raise NotFound("The endpoint has no such rule.")
    return found


def outcome_of(endpoint: Endpoint, pk: str) -> OutcomeDefinition:
    """One of an endpoint's outcomes that are reported. Raises NotFound."""
    found = watched(endpoint).outcomes().filter(pk=pk).first()
    if found is None:
        raise NotFound("The endpoint has no such outcome.")
    return found


def metric_query_of(endpoint: Endpoint, pk: str) -> MetricQuery:
    """One of an endpoint's metrics that are asked for. Raises NotFound."""
    found = watched(endpoint).metric_queries().filter(pk=pk).first()
    if found is None:
        raise NotFound("The endpoint has no such metric.")
    return found


def usual_set(endpoint: Endpoint) -> UsualSet:
    """What is usual for an endpoint, by its traffic of the last day (reads the telemetry).

    99.5 % succeed and 95 % are answered within twice the present P95, over 28 days; and where somebody asks all the
    time, a rule that nobody does.
    """
    place = endpoint.environment.name, endpoint.name
    everything = summary(*place, minutes=DAY_MINUTES, born=endpoint.created_at)[0]
    slo_ms = SLO_WITHOUT_TRAFFIC_MS if everything.p95 is None else _round_ms(SLO_OVER_P95 * everything.p95)
    age_min = (clock.now() - endpoint.created_at).total_seconds() / 60
    is_steady = (
        age_min >= DAY_MINUTES and requests_total(*place, minutes=DAY_MINUTES) >= DAY_MINUTES * STEADY_PER_MINUTE
    )
    absence = RuleWish(RuleKind.ABSENCE.value, over_min=ABSENT_MIN)
    return UsualSet(
        objectives=(
            ObjectiveWish(ObjectiveKind.AVAILABILITY.value, USUAL_AVAILABILITY_PCT),
            ObjectiveWish(ObjectiveKind.LATENCY.value, USUAL_LATENCY_PCT, slo_ms=slo_ms),
        ),
        rules=(absence,) if is_steady else (),
    )


def _round_ms(value: float) -> float:
    """Up to two digits, at least 1 ms: 37.3 → 38, 412 → 420."""
    if value <= 1:
        return 1.0
    unit = 10.0 ** max(math.floor(math.log10(value)) - 1, 0)
    return math.ceil(value / unit) * unit


def watch_ended_with(endpoint: Endpoint) -> int:
    """How many objectives and rules of a retired endpoint ended with its retirement: restoring it does not bring them
    back (reads the database).
    """
    if endpoint.retired_at is None:
        return 0
    own = {"environment": endpoint.environment, "endpoint": endpoint.name, "ended_at__gte": endpoint.retired_at}
    rules = AlertRule.objects.filter(objective=None, **own)
    return Objective.objects.filter(**own).count() + rules.count()


def retired_watch_end() -> int:
    """End what watches endpoints that are retired, whoever set it meanwhile; return how many endpoints there were."""
    named = AlertRule.objects.filter(ended_at=None).values("environment", "endpoint")
    places = {(row["environment"], row["endpoint"]) for row in named.distinct()}
    retired = Endpoint.objects.exclude(retired_at=None).filter(name__in={name for _, name in places})
    count = 0
    for endpoint in retired.select_related("environment", "model"):
        if (endpoint.environment_id, endpoint.name) in places:
            with transaction.atomic():
                count += watch_end(actor=ROLLOUT, place=watched(endpoint), reason="The endpoint is retired.") > 0
    return count
