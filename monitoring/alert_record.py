"""What every change to objectives, rules and alerts leaves behind: a line of the history, an audit record, the
announcement on the lists and on the endpoint's page.
"""

from datetime import datetime
from typing import Any

from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.live.outbox import publish
from monitoring.models import Alert, AlertEvent, AlertRule, Objective
from monitoring.models.objectives import OfEndpoint

TOPIC = "alerts"
LINE_MAX_CHARS = 2100


def alert_line(
    rule: AlertRule, kind: str, sentence: str, *, actor: Actor, now: datetime, alert: Alert | None = None
) -> None:
    """Add a line to the history of a rule, and of its alert. Belongs into the change's transaction."""
    AlertEvent.objects.create(
        rule=rule, alert=alert, at=now, kind=kind, actor=actor.name, sentence=sentence[:LINE_MAX_CHARS]
    )


def alert_record(
    thing: Alert | AlertRule | Objective,
    action: str,
    *,
    actor: Actor,
    reason: str = "",
    data: dict[str, Any] | None = None,
) -> None:
    """Record an act; its subject is the thing. Belongs into the change's transaction."""
    place: OfEndpoint = thing.rule if isinstance(thing, Alert) else thing
    kind = {Alert: "alert", AlertRule: "alert_rule", Objective: "objective"}[type(thing)]
    subject = Subject(kind, str(thing.pk), str(thing), tuple(place.scopes))
    audit_record(actor, action, subject, reason=reason, data=data)


def alert_announce(place: OfEndpoint, alert: Alert | None = None) -> None:
    """Tell the pages that show it, and with an alert whoever is to be told of that. Belongs into the transaction."""
    publish(TOPIC, "alert.changed", {"alert": str(alert.pk) if alert else ""})
    publish(f"endpoint.{place.environment.name}.{place.endpoint}", "alerts.changed", {"endpoint": place.endpoint})
