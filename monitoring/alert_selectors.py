"""What is shown of objectives, rules and alerts, to whom. Everything here reads the database."""

from datetime import datetime
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import in_scopes
from mlorch_site.lib.errors import NotFound
from monitoring.models import Alert, AlertRule, Silence
from registry.models import Environment

OF_RULE = ("rule__environment", "rule__model", "rule__objective__environment", "rule__standing")


def alerts_visible_to(actor: Actor) -> QuerySet[Alert]:
    """The alerts this actor may see: those that fire first, of them those that nobody acknowledged, newest first.

    `is_silent` says whether a silence holds.
    """
    if not actor.may_anywhere(Action.VIEW):
        return Alert.objects.none()
    rows = Alert.objects.select_related(*OF_RULE)
    rows = rows.filter(in_scopes(actor, environment="rule__environment__name", model="rule__model__name"))
    silent = Silence.objects.filter(rule=OuterRef("rule"), ended_at=None)
    rows = rows.annotate(is_silent=Exists(silent))
    # null sorts as "not yet": what is open comes before what was resolved, whatever the database does by itself
    return rows.order_by(
        F("resolved_at").desc(nulls_first=True), F("acknowledged_at").desc(nulls_first=True), "-fired_at"
    )


def alert_for(actor: Actor, pk: UUID | str, *, action: Action = Action.VIEW) -> Alert:
    """One alert. Hidden and missing look the same (NotFound); visible but not allowed is Forbidden."""
    found = alerts_visible_to(actor).filter(pk=pk).first()
    if found is None:
        raise NotFound("There is no such alert.")
    actor.require(action, found.rule.scopes)
    return found


def rules_visible_to(actor: Actor) -> QuerySet[AlertRule]:
    """The rules that hold, of endpoints that this actor may see, with how they stand."""
    if not actor.may_anywhere(Action.VIEW):
        return AlertRule.objects.none()
    rows = AlertRule.objects.filter(ended_at=None)
    rows = rows.filter(in_scopes(actor, environment="environment__name", model="model__name"))
    return rows.select_related("environment", "model", "objective__environment", "standing")


def silence_for(actor: Actor, pk: int, *, action: Action = Action.ALERT_ANSWER) -> Silence:
    """One silence of a rule that this actor may see. Raises NotFound, Forbidden."""
    rows = Silence.objects.select_related("rule__environment", "rule__model", "rule__objective")
    seen = in_scopes(actor, environment="rule__environment__name", model="rule__model__name")
    found = rows.filter(seen, pk=pk).first() if actor.may_anywhere(Action.VIEW) else None
    if found is None:
        raise NotFound("There is no such silence.")
    actor.require(action, found.rule.scopes)
    return found


def silence_of(rule: AlertRule, now: datetime) -> Silence | None:
    """The silence of a rule that holds at `now`."""
    found = Silence.objects.filter(rule=rule, ended_at=None).first()
    return found if found is not None and found.holds(now) else None


def alert_firing_since(environment: Environment, endpoint: str, since: datetime) -> Alert | None:
    """The first alert on an endpoint that fired at `since` or later and is not over; acknowledged or silent ones fire
    too.
    """
    rows = Alert.objects.filter(rule__environment=environment, rule__endpoint=endpoint, resolved_at=None)
    return rows.filter(fired_at__gte=since).select_related("rule").order_by("fired_at", "pk").first()


def alerts_waiting_for(actor: Actor) -> QuerySet[Alert]:
    """Open alerts that nobody acknowledged or silenced and that this actor may answer, newest first."""
    waiting = alerts_visible_to(actor).filter(resolved_at=None, acknowledged_at=None)
    waiting = waiting.exclude(rule__in=Silence.objects.filter(ended_at=None).values("rule"))
    if actor.may(Action.ALERT_ANSWER):
        return waiting
    mine = [scope for _, scope in actor.bindings if actor.may(Action.ALERT_ANSWER, [scope])]
    names = {kind: [s.partition(":")[2] for s in mine if s.startswith(f"{kind}:")] for kind in ("environment", "model")}
    of_environment = Q(rule__environment__name__in=names["environment"])
    return waiting.filter(of_environment | Q(rule__model__name__in=names["model"]))
