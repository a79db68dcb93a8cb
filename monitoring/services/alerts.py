"""What people do about alerts: acknowledge, silence; and what follows when nobody does: escalation."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, QuerySet

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action, Role
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid
from monitoring import limits
from monitoring.actors import ALERTS
from monitoring.alert_record import alert_announce, alert_line, alert_record
from monitoring.models import Alert, AlertEvent, AlertRule, RuleStanding, Silence

LINES_WITHOUT_ALERT_KEPT = timedelta(days=7)


@transaction.atomic
def alert_acknowledge(*, actor: Actor, alert: Alert, note: str = "") -> Alert:
    """Say that one sees to it: it is escalated no more, and waits for nobody else. Twice is harmless.

    Raises Forbidden, Invalid, and Conflict when it is resolved.
    """
    actor.require(Action.ALERT_ANSWER, alert.rule.scopes)
    note = _text(note, "note")
    found = _locked(alert)
    if found.resolved_at is not None:
        raise Conflict("The alert is resolved already.")
    if found.acknowledged_at is not None:
        return found
    found.acknowledged_at, found.acknowledged_by = clock.now(), actor.name
    found.save(update_fields=["acknowledged_at", "acknowledged_by"])
    sentence = f"{actor.name} acknowledged it{f': {note}' if note else '.'}"
    alert_line(found.rule, "acknowledged", sentence, actor=actor, now=found.acknowledged_at, alert=found)
    alert_record(found, "alert.acknowledged", actor=actor, reason=note)
    alert_announce(found.rule, found)
    return found


@transaction.atomic
def alert_silence(*, actor: Actor, rule: AlertRule, until: datetime, reason: str) -> Silence:
    """Tell nobody of a rule's alerts until a moment; it ends by itself. One that holds already is replaced.

    Raises Forbidden, Invalid (details name the fields), and Conflict for a rule that has ended.
    """
    actor.require(Action.ALERT_ANSWER, rule.scopes)
    now, reason = clock.now(), _text(reason, "reason", is_needed=True)
    if not now < until <= now + limits.SILENCE_MAX:
        days = limits.SILENCE_MAX.days
        raise Invalid(f"A silence ends in the future, within {days} days.", details={"until": "out of range"})
    standing = RuleStanding.objects.select_for_update().get(rule=rule)
    if standing.due_at is None:
        raise Conflict("The rule has ended.")
    Silence.objects.filter(rule=rule, ended_at=None).update(ended_at=now)
    made = Silence.objects.create(rule=rule, until=until, reason=reason, created_by=actor.name, created_at=now)
    alert = Alert.objects.filter(rule=rule, resolved_at=None).first()
    sentence = f"{actor.name} silenced it until {until:%Y-%m-%d %H:%M} UTC: {reason}"
    alert_line(rule, "silenced", sentence, actor=actor, now=now, alert=alert)
    alert_record(rule, "alert_rule.silenced", actor=actor, reason=reason, data={"until": until.isoformat()})
    alert_announce(rule, alert)
    return made


@transaction.atomic
def silence_end(*, actor: Actor, silence: Silence) -> Silence:
    """End a silence before its time; what still fires is told anew. Twice is harmless. Raises Forbidden."""
    actor.require(Action.ALERT_ANSWER, silence.rule.scopes)
    return _silence_end(actor, silence, f"{actor.name} ended the silence.")


def _silence_end(actor: Actor, silence: Silence, sentence: str) -> Silence:
    """Belongs into a transaction."""
    RuleStanding.objects.select_for_update().get(rule=silence.rule_id)
    found = Silence.objects.select_related("rule__environment", "rule__model", "rule__objective").get(pk=silence.pk)
    if found.ended_at is not None:
        return found
    found.ended_at = clock.now()
    found.save(update_fields=["ended_at"])
    alert = Alert.objects.filter(rule=found.rule, resolved_at=None).first()
    if alert is not None:
        Alert.objects.filter(pk=alert.pk).update(occasion=F("occasion") + 1)
    alert_line(found.rule, "silence_ended", sentence, actor=actor, now=found.ended_at, alert=alert)
    alert_record(found.rule, "alert_rule.silence_ended", actor=actor, reason=sentence)
    alert_announce(found.rule, alert)
    return found


def silences_due(now: datetime) -> "QuerySet[Silence]":
    """Silences whose time is over and that nobody ended."""
    return Silence.objects.filter(ended_at=None, until__lte=now)


def silences_expire(*, now: datetime) -> int:
    """End the silences whose time is over; return how many. Twice is harmless."""
    due = list(silences_due(now)[: limits.DUE_PER_TICK])
    for silence in due:
        with transaction.atomic():
            _silence_end(ALERTS, silence, "The silence ended by itself.")
    return len(due)


def escalations_waiting() -> "QuerySet[Alert]":
    """Open alerts with a rule that escalates, that nobody acknowledged and no silence covers."""
    waiting = Alert.objects.filter(resolved_at=None, acknowledged_at=None, escalated_at=None)
    silent = Silence.objects.filter(ended_at=None).values("rule")
    return waiting.exclude(rule__escalate_after_min=None).exclude(rule__in=silent)


def alerts_escalate(*, now: datetime) -> int:
    """Tell the second role of alerts that nobody acknowledged in time; return how many. Each once."""
    count = 0
    for alert in escalations_waiting().select_related("rule")[: limits.DUE_PER_TICK]:
        assert alert.rule.escalate_after_min is not None
        if alert.fired_at + timedelta(minutes=alert.rule.escalate_after_min) <= now:
            with transaction.atomic():
                count += _escalate(alert, now)
    return count


def _escalate(alert: Alert, now: datetime) -> bool:
    found = _locked(alert)
    if found.resolved_at or found.acknowledged_at or found.escalated_at:
        return False
    found.escalated_at = now
    found.save(update_fields=["escalated_at"])
    role = Role(found.rule.escalate_to).label
    sentence = f"Nobody acknowledged it for {found.rule.escalate_after_min} minutes; everybody who is {role} is told."
    alert_line(found.rule, "escalated", sentence, actor=ALERTS, now=now, alert=found)
    alert_record(found, "alert.escalated", actor=ALERTS, reason=sentence)
    alert_announce(found.rule, found)
    return True


def alerts_forget(*, now: datetime) -> int:
    """Delete alerts that were resolved long ago, and lines about none that are old; return how many went."""
    old = AlertEvent.objects.filter(alert=None, at__lt=now - LINES_WITHOUT_ALERT_KEPT)
    gone = Alert.objects.filter(resolved_at__lt=now - limits.ALERTS_KEPT).delete()[0]
    return gone + old.exclude(kind__in=["added", "ended"]).delete()[0]


def _locked(alert: Alert) -> Alert:
    """The alert as it is now. How its rule stands is locked, as by every other change to it."""
    RuleStanding.objects.select_for_update().get(rule=alert.rule_id)
    rows = Alert.objects.select_related("rule__environment", "rule__model", "rule__objective__environment")
    return rows.get(pk=alert.pk)


def _text(text: str, field: str, *, is_needed: bool = False) -> str:
    text = text.strip()
    if is_needed and not text:
        raise Invalid("Say why.", details={field: "needed"})
    if len(text) > limits.REASON_MAX_CHARS:
        raise Invalid(f"At most {limits.REASON_MAX_CHARS} characters.", details={field: "too long"})
    return text
