"""Who may listen to news of alerts: everybody who sees something. It is a list, so ids alone are told."""

from mlorch_site.live.outbox import on_event
from mlorch_site.live.topics import anybody_who_views, register
from monitoring import alert_notices
from monitoring.alert_record import TOPIC


def register_all() -> None:
    """Called once, when the app is ready."""
    register(TOPIC, anybody_who_views)
    alert_notices.register_kinds()
    on_event("alert.changed", alert_notices.on_alert_changed)
