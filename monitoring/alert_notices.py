"""Who is told of alerts: whoever may answer them, and the second role when nobody does. Subscriptions are told too."""

from uuid import UUID

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action, roles_that_allow
from mlorch_site.live.models import Event
from mlorch_site.notices.kinds import News, NoticeKind, register_kind
from mlorch_site.notices.models import Delivery, Notice
from mlorch_site.notices.services import notices_raise, notices_settle
from monitoring.alert_record import TOPIC
from monitoring.alert_selectors import alerts_visible_to
from monitoring.alerts.lifecycle import SEVERITY_LABELS, AlertSeverity
from monitoring.models import Alert, Silence
from registry.approvals.approval_notices import UNSEEN, ids_holding

FIRED, ESCALATED, RESOLVED = "alert_fired", "alert_escalated", "alert_resolved"
ANSWERING = [role.value for role in roles_that_allow(Action.ALERT_ANSWER)]


def on_alert_changed(event: Event) -> None:
    """Tell of an alert as it stands."""
    rows = Alert.objects.select_related("rule__environment", "rule__model", "rule__objective__environment")
    alert = rows.filter(pk=event.data["alert"]).first() if event.data.get("alert") else None
    if alert is None or event.topic != TOPIC:
        return
    if _why_not_waiting(alert):
        notices_settle(kinds=[FIRED, ESCALATED], thing=str(alert.pk))
    else:
        people = ids_holding(ANSWERING, alert.rule.scopes)
        notices_raise(news=_news(alert, FIRED, alert.sentence), people=people)
        if alert.escalated_at is not None:
            sentence = f"Nobody acknowledged it. {alert.sentence}"
            people = ids_holding([alert.rule.escalate_to], alert.rule.scopes)
            notices_raise(news=_news(alert, ESCALATED, sentence), people=people)
    if alert.resolved_at is not None and _was_told(alert):
        told = Notice.objects.filter(kind__in=[FIRED, ESCALATED], thing=str(alert.pk))
        people = set(told.values_list("person", flat=True))
        notices_raise(news=_news(alert, RESOLVED, alert.resolution), people=people)


def _was_told(alert: Alert) -> bool:
    """Whether anybody heard that it fires: what was silent all the time ends in silence too."""
    return any(rows.filter(kind=FIRED, thing=str(alert.pk)).exists() for rows in (Notice.objects, Delivery.objects))


def _news(alert: Alert, kind: str, sentence: str) -> News:
    rule = alert.rule
    data = {
        "alert": str(alert.pk),
        "state": alert.state,
        "severity": rule.severity,
        "endpoint": rule.endpoint,
        "rule": rule.sentence,
        "fired_at": alert.fired_at.isoformat(),
        "numbers": alert.numbers,
    }
    title = f"{rule.place}: {SEVERITY_LABELS[AlertSeverity(rule.severity)].lower()}: {rule.sentence}"
    occasion = f"{alert.occasion}" if alert.occasion else ""
    return News(kind, str(alert.pk), title, sentence, f"/alerts/{alert.pk}/", tuple(rule.scopes), occasion, data)


def _why_not_waiting(alert: Alert | None) -> str:
    """Why an alert waits for nobody, empty when it does."""
    if alert is None:
        return "The alert is not kept any more."
    if alert.resolved_at is not None:
        return "The alert is resolved."
    if alert.acknowledged_at is not None:
        return f"{alert.acknowledged_by} acknowledged it."
    is_silent = Silence.objects.filter(rule=alert.rule_id, ended_at=None).exists()
    return "It is silenced." if is_silent else ""


def _why_over(thing: str) -> str:
    return _why_not_waiting(Alert.objects.filter(pk=UUID(thing)).first())


def _never_over(thing: str) -> str:
    return ""


def _why_not_answering(actor: Actor, thing: str) -> str:
    alert = alerts_visible_to(actor).filter(pk=UUID(thing)).first()
    return actor.why_not(Action.ALERT_ANSWER, alert.rule.scopes) if alert else UNSEEN


def _why_not_seen(actor: Actor, thing: str) -> str:
    return "" if alerts_visible_to(actor).filter(pk=UUID(thing)).exists() else UNSEEN


def register_kinds() -> None:
    """Called once, when the app is ready."""
    register_kind(NoticeKind(FIRED, "Alert fires", _why_over, _why_not_answering, waits=True))
    register_kind(NoticeKind(ESCALATED, "Alert that nobody acknowledged", _why_over, _why_not_answering, waits=True))
    register_kind(NoticeKind(RESOLVED, "Alert resolved", _never_over, _why_not_seen))
