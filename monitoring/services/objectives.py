"""Objectives of endpoints: set and ended, each with its burn-rate rules; and the usual set with one act."""

from dataclasses import asdict, dataclass, replace
from datetime import datetime

from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action, Role
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid
from monitoring import limits
from monitoring.alert_record import alert_announce, alert_record
from monitoring.alerts.lifecycle import WINDOW_DAYS, AlertSeverity, ObjectiveKind, RuleKind
from monitoring.models import Objective, ObjectiveStanding
from monitoring.services.alert_rules import RuleWish, place_lock, rule_end, rule_make, rule_problems, standings_lock
from monitoring.services.measured import metric_query_close
from monitoring.services.outcomes import definition_close
from monitoring.span_figures import standing_of
from monitoring.watched_endpoint import WatchedEndpoint

BAD_MIN = 10  # bad requests in the long span from which on a burning budget is told
ESCALATE_AFTER_MIN = 30


@dataclass(frozen=True)
class ObjectiveWish:
    """What an objective is to be; `slo_ms` of latency only. `bad_min` is how many bad requests make an alert."""

    kind: str
    target_pct: float
    window_days: int = 28
    slo_ms: float | None = None
    bad_min: int = BAD_MIN


@dataclass(frozen=True)
class UsualSet:
    """What one click makes for an endpoint that has nothing yet."""

    objectives: tuple[ObjectiveWish, ...]
    rules: tuple[RuleWish, ...]


def burn_rules(wish: ObjectiveWish) -> tuple[RuleWish, RuleWish]:
    """The rules that come with an objective: one that wakes somebody, one that can wait."""
    urgent = RuleWish(
        RuleKind.BURN_FAST,
        minimum=wish.bad_min,
        escalate_after_min=ESCALATE_AFTER_MIN,
        escalate_to=Role.RELEASE_MANAGER.value,
    )
    return urgent, RuleWish(RuleKind.BURN_SLOW, minimum=wish.bad_min, clear_min=30, severity=AlertSeverity.TICKET)


def objective_problems(wish: ObjectiveWish) -> dict[str, str]:
    """Field → sentence for what is wrong with a wish."""
    found = {}
    if wish.kind not in [str(kind) for kind in ObjectiveKind]:
        found["kind"] = "Availability or latency."
    if not limits.TARGET_PCT_MIN <= wish.target_pct <= limits.TARGET_PCT_MAX:
        found["target_pct"] = f"{limits.TARGET_PCT_MIN:g} to {limits.TARGET_PCT_MAX:g} percent: some has to be allowed."
    if wish.window_days not in WINDOW_DAYS:
        found["window_days"] = f"{', '.join(map(str, WINDOW_DAYS))} days."
    if not 1 <= wish.bad_min <= limits.MINIMUM_MAX:
        found["bad_min"] = f"1 to {limits.MINIMUM_MAX} requests."
    if wish.kind == ObjectiveKind.AVAILABILITY and wish.slo_ms is not None:
        found["slo_ms"] = "Only an objective of latency has a time."
    if wish.kind == ObjectiveKind.LATENCY and not 0 < (wish.slo_ms or 0) <= limits.SLO_MS_MAX:
        found["slo_ms"] = f"Say within how many ms, up to {limits.SLO_MS_MAX:g}."
    return found


@transaction.atomic
def objective_set(*, actor: Actor, place: WatchedEndpoint, wish: ObjectiveWish) -> Objective:
    """Set an endpoint's objective of a kind, with its burn-rate rules; a former one of the kind ends with its rules.

    The same again is harmless. Raises Forbidden, Invalid (details name the fields), Conflict.
    """
    actor.require(Action.OBJECTIVE_EDIT, place.scopes)
    if problems := objective_problems(wish):
        raise Invalid("The objective cannot be set like this.", details=problems)
    wish = replace(wish, target_pct=round(wish.target_pct, 3))
    place_lock(place)
    former = place.objectives().filter(kind=wish.kind).first()
    if former is not None:
        if _wish_of(former) == wish:
            return former
        _end(actor, former, "Another one was set in its place.")
    return _make(actor, place, wish)


def _wish_of(objective: Objective) -> ObjectiveWish:
    rule = objective.rules.order_by("created_at").first()
    target, minimum = float(objective.target_pct), rule.minimum if rule else BAD_MIN
    return ObjectiveWish(objective.kind, target, objective.window_days, objective.slo_ms, minimum)


def _make(actor: Actor, place: WatchedEndpoint, wish: ObjectiveWish) -> Objective:
    now = clock.now()
    made = Objective.objects.create(
        **place.fields,
        kind=wish.kind,
        slo_ms=wish.slo_ms,
        target_pct=f"{wish.target_pct:.3f}",
        window_days=wish.window_days,
        created_at=now,
        created_by=actor.name,
    )
    made.refresh_from_db()
    standing_of(made, now).save()
    alert_record(made, "objective.set", actor=actor, data=asdict(wish))
    alert_announce(made)
    for rule in burn_rules(wish):
        rule_make(actor, place, rule, objective=made)
    return made


@transaction.atomic
def objective_end(*, actor: Actor, objective: Objective, reason: str = "") -> Objective:
    """End an objective with its rules; open alerts of those are resolved. Twice is harmless. Raises Forbidden."""
    actor.require(Action.OBJECTIVE_EDIT, objective.scopes)
    locked = Objective.objects.select_for_update(of=("self",)).select_related("environment", "model")
    found = locked.get(pk=objective.pk)
    if found.ended_at is None:
        _end(actor, found, reason)
    return found


def _end(actor: Actor, objective: Objective, reason: str) -> None:
    standings_lock(objective.rules.all())
    objective.ended_at = clock.now()
    objective.save(update_fields=["ended_at"])
    alert_record(objective, "objective.ended", actor=actor, reason=reason)
    alert_announce(objective)
    for rule in objective.rules.filter(ended_at=None).select_related("environment", "model", "objective"):
        rule_end(actor, rule, reason)


@transaction.atomic
def usual_set_make(*, actor: Actor, place: WatchedEndpoint, usual: UsualSet) -> list[Objective]:
    """Make what was shown for an endpoint without objectives and rules.

    Raises Forbidden, Invalid, and Conflict when it has some by now: nothing of what others set is replaced unseen.
    """
    actor.require(Action.OBJECTIVE_EDIT, place.scopes)
    problems: dict[str, str] = {}
    for one in usual.objectives:
        problems |= objective_problems(one)
    for rule in usual.rules:
        problems |= rule_problems(rule)
    if problems:
        raise Invalid("The usual set cannot be made like this.", details=problems)
    place_lock(place)
    if place.objectives().exists() or place.rules().exists():
        raise Conflict(f"{place.name} has objectives or rules already.")
    made = [_make(actor, place, wish) for wish in usual.objectives]
    for rule in usual.rules:
        rule_make(actor, place, rule)
    return made


@transaction.atomic
def watch_end(*, actor: Actor, place: WatchedEndpoint, reason: str) -> int:
    """End all objectives, rules, outcomes and metrics of an endpoint that is not used any more; return how many.

    Whoever retires it may. Twice is harmless.
    """
    standings_lock(place.rules())
    objectives, count = list(place.objectives()), 0
    for objective in objectives:
        _end(actor, objective, reason)
    for rule in place.rules():
        rule_end(actor, rule, reason)
        count += 1
    for definition in place.outcomes():
        definition_close(actor, definition, reason)
        count += 1
    for query in place.metric_queries():
        metric_query_close(actor, query, reason)
        count += 1
    return len(objectives) + count


def objectives_measure(*, now: datetime) -> int:
    """Count anew how the objectives stand whose count is older than a minute; return how many were due.

    Counts are observations and leave no record.
    """
    due = Objective.objects.filter(ended_at=None, standing__at__lte=now - limits.MEASURED_EVERY)
    rows = list(due.select_related("environment")[: limits.DUE_PER_TICK])
    for objective in rows:
        found = standing_of(objective, now)
        values = {"at": now, "requests": found.requests, "bad": found.bad}
        values |= {"measured_days": found.measured_days, "burn_rate": found.burn_rate}
        ObjectiveStanding.objects.filter(objective=objective, at__lt=now).update(**values)
    return len(rows)
