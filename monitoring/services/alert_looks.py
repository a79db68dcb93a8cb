"""Looks at alert rules: each in a transaction of its own, at a row that is locked, so that two at once count as one.

figures (reads) → `rule_check` and `step` (pure) → what follows. A look that is late, or comes twice, changes nothing.
"""

from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import QuerySet

from monitoring import limits
from monitoring.actors import ALERTS
from monitoring.alert_record import alert_announce, alert_line, alert_record
from monitoring.alerts.alert_machine import RuleStand, step
from monitoring.alerts.lifecycle import RULE_LOOKS, RuleState
from monitoring.alerts.rule_check import RuleAnswer, rule_check
from monitoring.models import Alert, AlertRule, RuleStanding
from monitoring.span_figures import figures_of_rule

log = structlog.get_logger(__name__)

SENTENCE_MAX_CHARS = 500
TOLD_STATES = (RuleState.FIRING, RuleState.NO_DATA)  # to come into one, or out of it, is a line of the history


def rules_due(now: datetime) -> "QuerySet[RuleStanding]":
    """The rules to look at now."""
    return RuleStanding.objects.filter(due_at__lte=now).order_by("due_at")


def rules_look(*, now: datetime, told_until: datetime | None) -> int:
    """Look at every rule that is due; return how many there were. `told_until` is the moment up to which everything
    that gateways counted has come; None when no gateway is connected.
    """
    due = list(rules_due(now).values_list("pk", flat=True)[: limits.DUE_PER_TICK])
    rows = AlertRule.objects.select_related("environment", "model", "objective__environment").in_bulk(due)
    for pk in due:
        try:
            rule_look(rule=rows[pk], now=now, told_until=told_until)
        except Exception:  # one rule that cannot be looked at must not stop the others
            log.exception("alert_rule.look_failed", rule=str(pk))
            later = now + timedelta(seconds=rows[pk].terms.looks_every_s)
            RuleStanding.objects.filter(pk=pk, due_at__lte=now).update(due_at=later)
    return len(due)


def rule_look(*, rule: AlertRule, now: datetime, told_until: datetime | None) -> None:
    """Look at one rule. Twice at the same moment is harmless."""
    answer = _answer(rule, now, told_until)
    with transaction.atomic():
        standing = RuleStanding.objects.select_for_update().get(rule=rule)
        is_over = standing.due_at is None  # the rule has ended
        if is_over or (standing.looked_at is not None and standing.looked_at >= now):
            return
        before = standing.stand
        waits = {"for_s": rule.for_min * 60, "clear_s": rule.clear_min * 60}
        after = step(before, answer.is_broken, now=now, **waits)
        alert = standing.alert
        if after.is_open and alert is None:
            alert = _fire(rule, answer, now)
        elif alert is not None and not after.is_open:
            _resolve(rule, alert, answer, now)
        elif {before.state, after.state} & set(TOLD_STATES) and before.state is not after.state:
            sentence = f"{RULE_LOOKS[after.state].label}: {answer.sentence}"
            alert_line(rule, after.state.value, sentence, actor=ALERTS, now=now, alert=alert)
        standing.alert = alert if after.is_open else None
        _write(rule, standing, after, answer, now)
        if before.state is not after.state:
            alert_announce(rule, alert)


def _answer(rule: AlertRule, now: datetime, told_until: datetime | None) -> RuleAnswer:
    terms = rule.terms
    if not terms.is_counted_by_gateways:
        return rule_check(terms, *figures_of_rule(rule, now))
    if told_until is None:
        return RuleAnswer(None, "No gateway is connected, so nobody knows what is asked.")
    if now - told_until > limits.TELEMETRY_LATE:
        return RuleAnswer(None, f"What gateways counted is late: it has come up to {told_until:%Y-%m-%d %H:%M:%S} UTC.")
    return rule_check(terms, *figures_of_rule(rule, now))


def _fire(rule: AlertRule, answer: RuleAnswer, now: datetime) -> Alert:
    alert = Alert.objects.create(
        rule=rule, fired_at=now, sentence=answer.sentence[:SENTENCE_MAX_CHARS], numbers=answer.numbers
    )
    alert_line(rule, "fired", answer.sentence, actor=ALERTS, now=now, alert=alert)
    alert_record(alert, "alert.fired", actor=ALERTS, reason=answer.sentence, data=answer.numbers)
    return alert


def _resolve(rule: AlertRule, alert: Alert, answer: RuleAnswer, now: datetime) -> None:
    resolution = answer.sentence[:SENTENCE_MAX_CHARS]
    Alert.objects.filter(pk=alert.pk, resolved_at=None).update(resolved_at=now, resolution=resolution)
    alert_line(rule, "resolved", answer.sentence, actor=ALERTS, now=now, alert=alert)
    alert_record(alert, "alert.resolved", actor=ALERTS, reason=answer.sentence, data=answer.numbers)


def _write(rule: AlertRule, standing: RuleStanding, after: RuleStand, answer: RuleAnswer, now: datetime) -> None:
    standing.state, standing.since = after.state.value, after.since
    standing.broken_since, standing.kept_since = after.broken_since, after.kept_since
    standing.looked_at, standing.sentence = now, answer.sentence[:SENTENCE_MAX_CHARS]
    standing.due_at = now + timedelta(seconds=rule.terms.looks_every_s)
    standing.save()
