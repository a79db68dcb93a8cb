"""Alert rules: added and ended, never changed."""

from dataclasses import asdict, dataclass

from django.db import transaction
from django.db.models import QuerySet

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action, Role, roles_that_allow
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid
from monitoring import limits
from monitoring.alert_record import alert_announce, alert_line, alert_record
from monitoring.alerts.lifecycle import AlertSeverity, BoundSide, RuleKind, RuleMetric, WatchedAct
from monitoring.models import Alert, AlertRule, Objective, RuleStanding, Silence
from monitoring.watched_endpoint import WatchedEndpoint
from registry.models import Environment

ESCALATE_ROLES = tuple(role.value for role in roles_that_allow(Action.ALERT_ANSWER))


@dataclass(frozen=True)
class RuleWish:
    """What a rule is to be; see AlertRule and RuleTerms."""

    kind: str
    metric: str = ""
    direction: str = BoundSide.ABOVE
    bound: float = 0.0
    over_min: int = 5
    minimum: int = 0
    for_min: int = 0
    clear_min: int = 5
    severity: str = AlertSeverity.URGENT
    escalate_after_min: int | None = None
    escalate_to: str = ""
    watched_act: str = ""


def rule_problems(wish: RuleWish) -> dict[str, str]:
    """Field → sentence for what is wrong with a wish."""
    found = {}
    kinds = {RuleKind.THRESHOLD, RuleKind.CHANGE, RuleKind.ABSENCE, RuleKind.AUDIT}
    needs_metric = wish.kind in (RuleKind.THRESHOLD, RuleKind.CHANGE)
    if wish.kind not in [str(kind) for kind in kinds]:
        found["kind"] = "A rule is about a bound, a change, absence or an act; burn rates come with their objective."
    if needs_metric and wish.metric not in [str(metric) for metric in RuleMetric]:
        found["metric"] = "Choose what the rule looks at."
    if wish.watched_act not in (list(WatchedAct) if wish.kind == RuleKind.AUDIT else [""]):
        found["watched_act"] = "A rule about an act, and no other, says which."
    if wish.direction not in [str(way) for way in BoundSide]:
        found["direction"] = "Above or below."
    if wish.severity not in [str(one) for one in AlertSeverity]:
        found["severity"] = "Urgent or ticket."
    if not 0 <= wish.bound <= limits.BOUND_MAX:
        found["bound"] = f"A number from 0 to {limits.BOUND_MAX:g}."
    elif wish.kind == RuleKind.CHANGE and not wish.bound:
        found["bound"] = "Say by how many percent; 0 would always be broken."
    most = {"over_min": limits.OVER_MIN_MAX, "for_min": limits.WAIT_MIN_MAX, "clear_min": limits.WAIT_MIN_MAX}
    for name, least in (("over_min", 1), ("for_min", 0), ("clear_min", 0)):
        if not least <= getattr(wish, name) <= most[name]:
            found[name] = f"{least} to {most[name]} minutes."
    if not 0 <= wish.minimum <= limits.MINIMUM_MAX:
        found["minimum"] = f"0 to {limits.MINIMUM_MAX} requests."
    return found | _escalation_problems(wish)


def _escalation_problems(wish: RuleWish) -> dict[str, str]:
    after = wish.escalate_after_min
    if (after is None) != (not wish.escalate_to):
        return {"escalate_to": "Say both after how many minutes and to which role, or neither."}
    if after is not None and not 1 <= after <= limits.WAIT_MIN_MAX:
        return {"escalate_after_min": f"1 to {limits.WAIT_MIN_MAX} minutes."}
    if wish.escalate_to and wish.escalate_to not in ESCALATE_ROLES:
        return {"escalate_to": f"Choose a role that may answer: {', '.join(Role(r).label for r in ESCALATE_ROLES)}."}
    return {}


@transaction.atomic
def alert_rule_add(*, actor: Actor, place: WatchedEndpoint, wish: RuleWish) -> AlertRule:
    """Add a rule to an endpoint. The same rule again is harmless: the one that holds is returned.

    Raises Forbidden, Invalid (details name the fields), Conflict when the endpoint has its most.
    """
    actor.require(Action.OBJECTIVE_EDIT, place.scopes)
    if problems := rule_problems(wish):
        raise Invalid("The rule cannot be added like this.", details=problems)
    place_lock(place)
    same = place.rules().filter(objective=None, **asdict(wish)).first()
    return same or rule_make(actor, place, wish)


def place_lock(place: WatchedEndpoint) -> None:
    """Let nobody else change what watches an endpoint of the environment until the transaction ends."""
    Environment.objects.select_for_update().get(pk=place.environment.pk)


def standings_lock(rules: "QuerySet[AlertRule]") -> None:
    """Let nobody look at these rules until the transaction ends. A look locks how its rule stands before the audit
    record, so whoever ends several locks all of them before the first record.
    """
    list(RuleStanding.objects.select_for_update().filter(rule__in=rules).order_by("pk").values_list("pk", flat=True))


def rule_make(actor: Actor, place: WatchedEndpoint, wish: RuleWish, objective: Objective | None = None) -> AlertRule:
    """Make the rule and how it stands: it is looked at next. Belongs into a transaction that locked the place."""
    if place.rules().count() >= limits.RULES_PER_ENDPOINT_MAX:
        raise Conflict(f"{place.name} has {limits.RULES_PER_ENDPOINT_MAX} rules already; end one that nobody needs.")
    now = clock.now()
    made = AlertRule.objects.create(
        **place.fields, **asdict(wish), objective=objective, created_at=now, created_by=actor.name
    )
    RuleStanding.objects.create(rule=made, since=now, due_at=now, sentence="Nobody has looked yet.")
    alert_line(made, "added", f"{actor.name} added the rule.", actor=actor, now=now)
    alert_record(made, "alert_rule.added", actor=actor, data=asdict(wish))
    alert_announce(made)
    return made


@transaction.atomic
def alert_rule_end(*, actor: Actor, rule: AlertRule, reason: str = "") -> AlertRule:
    """End a rule: nobody looks any more, its open alert is resolved with the reason. Twice is harmless.

    Raises Forbidden, and Conflict for a rule of an objective, which ends with that.
    """
    actor.require(Action.OBJECTIVE_EDIT, rule.scopes)
    if rule.objective is not None:
        raise Conflict("This rule belongs to an objective and ends with it.")
    return rule_end(actor, rule, reason)


def rule_end(actor: Actor, rule: AlertRule, reason: str) -> AlertRule:
    """End a rule, whatever it belongs to. Belongs into a transaction."""
    standing = RuleStanding.objects.select_for_update().get(rule=rule)
    rule.refresh_from_db(fields=["ended_at"])
    if rule.ended_at is not None:
        return rule
    now, why = clock.now(), f"{actor.name} ended the rule. {reason}".strip()
    rule.ended_at = now
    rule.save(update_fields=["ended_at"])
    alert = Alert.objects.filter(rule=rule, resolved_at=None).first()
    if alert is not None:
        alert.resolved_at, alert.resolution = now, why[:500]
        alert.save(update_fields=["resolved_at", "resolution"])
    Silence.objects.filter(rule=rule, ended_at=None).update(ended_at=now)
    standing.alert, standing.due_at = None, None
    standing.save(update_fields=["alert", "due_at"])
    alert_line(rule, "ended", why, actor=actor, now=now, alert=alert)
    alert_record(rule, "alert_rule.ended", actor=actor, reason=reason, data={"alert": str(alert.pk) if alert else ""})
    alert_announce(rule, alert)
    return rule
