"""What clients met at an endpoint over a span, out of the windows and their roll-ups (reads the database)."""

from datetime import datetime, timedelta

from django.db.models import Count, QuerySet, Sum
from django.db.models.functions import TruncDay

from dataplane.wire.histogram import merged
from mlorch_site.lib import clock
from monitoring.alerts.lifecycle import RuleKind, RuleMetric
from monitoring.alerts.rule_check import SpanFigures
from monitoring.alerts.rule_terms import RuleTerms
from monitoring.models import KEPT, AlertRule, Objective, ObjectiveStanding, Window
from monitoring.outside_figures import acts_counted, cost_per_day
from monitoring.selectors import SHADOW, rolled_up
from monitoring.watched_endpoint import WatchedEndpoint

PARTS_MIN = 20  # windows that a span is made of at least: what the widest of them adds at its start is 5 % at most
DAY = timedelta(days=1)
HOUR_S = 3600


def windows_of_clients(environment: str, endpoint: str, *, since: datetime, until: datetime) -> "QuerySet[Window]":
    """The windows of the arms that answer clients, in a width that keeps them few; a span begins where one does."""
    span_s = (until - since).total_seconds()
    width = max(width for width in KEPT if width == 1 or width * PARTS_MIN <= span_s)
    start = clock.from_unix(int(since.timestamp()) // width * width)
    rows = rolled_up(width, start).filter(environment=environment, endpoint=endpoint, start__lt=until)
    return rows.exclude(arm=SHADOW)


def span_figures(
    environment: str, endpoint: str, *, until: datetime, seconds: int, terms: RuleTerms | None = None
) -> SpanFigures:
    """The figures of the `seconds` before `until`; histograms are read only where `terms` ask about latency."""
    rows = windows_of_clients(environment, endpoint, since=until - timedelta(seconds=seconds), until=until)
    sums = rows.aggregate(all=Sum("requests"), ok=Sum("ok"), server=Sum("server_errors"), late=Sum("timeouts"))
    errors = (sums["server"] or 0) + (sums["late"] or 0)
    slo_ms = terms.slo_ms if terms else None
    over, p95 = 0, None
    if slo_ms is not None or (terms and terms.metric is RuleMetric.P95):
        histogram = merged(rows.values_list("latency", flat=True))
        over = histogram.count_over(slo_ms) if slo_ms is not None else 0
        p95 = histogram.quantile(0.95)
    return SpanFigures(seconds, sums["all"] or 0, (sums["ok"] or 0) + errors, errors, over, p95)


def figures_of_rule(rule: AlertRule, now: datetime) -> tuple[dict[int, SpanFigures], SpanFigures | None]:
    """What a look at the rule rests on: the figures of each of its spans, and of a change those of the span before."""
    terms = rule.terms
    spans = {span: _figures(rule, terms, now, span) for span in set(terms.spans_s)}
    if terms.kind is not RuleKind.CHANGE:
        return spans, None
    span = terms.spans_s[0]
    earlier = now - timedelta(seconds=span)
    return spans, _figures(rule, terms, earlier, span)


def _figures(rule: AlertRule, terms: RuleTerms, until: datetime, seconds: int) -> SpanFigures:
    place = rule.environment.name, rule.endpoint
    if terms.is_counted_by_gateways:
        return span_figures(*place, until=until, seconds=seconds, terms=terms)
    since = until - timedelta(seconds=seconds)
    if terms.watched_act is None:
        return SpanFigures(seconds, cost_per_day=cost_per_day(*place, since=since, until=until))
    watched = WatchedEndpoint(rule.environment, rule.model, rule.endpoint)
    return SpanFigures(seconds, acts=acts_counted(watched, terms.watched_act, since=since, until=until))


def standing_of(objective: Objective, now: datetime) -> ObjectiveStanding:
    """The unsaved standing of an objective at `now`, counted over its days."""
    terms = RuleTerms(RuleKind.BURN_SLOW, target_share=objective.target_share, slo_ms=objective.slo_ms)
    place = (objective.environment.name, objective.endpoint)
    whole = int(timedelta(days=objective.window_days).total_seconds())
    counts = span_figures(*place, until=now, seconds=whole, terms=terms).good_bad(objective.slo_ms)
    hour = span_figures(*place, until=now, seconds=HOUR_S, terms=terms).good_bad(objective.slo_ms)
    return ObjectiveStanding(
        objective=objective,
        at=now,
        requests=counts.requests,
        bad=counts.bad,
        measured_days=min(measured_days(*place, days=objective.window_days, now=now), objective.window_days),
        burn_rate=hour.burn_rate(objective.target_share),
    )


def measured_days(environment: str, endpoint: str, *, days: int, now: datetime) -> int:
    """On how many of the last `days` clients asked the endpoint."""
    rows = windows_of_clients(environment, endpoint, since=now - days * DAY, until=now).filter(requests__gt=0)
    return int(rows.order_by().aggregate(days=Count(TruncDay("start"), distinct=True))["days"])
