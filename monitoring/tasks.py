"""Roll-up, retention, and whether anything is watched. Running them twice or together is harmless."""

from celery import shared_task

from mlorch_site.lib import clock
from monitoring.models import AlertRule, Objective, Silence
from monitoring.services import alerts_forget, outcomes_forget, readings_forget, retention_apply, windows_roll_up


@shared_task(name="monitoring.rollup", queue="control")
def rollup() -> None:
    """Roll recent windows up."""
    windows_roll_up()


@shared_task(name="monitoring.retention", queue="work")
def retention() -> None:
    """Let old windows, events, alerts, outcomes and readings go."""
    retention_apply(now=clock.now())
    alerts_forget(now=clock.now())
    outcomes_forget(now=clock.now())
    readings_forget(now=clock.now())


def watch_is_due() -> bool:
    """Whether anything is watched at all. Cheap: asked every 15 seconds."""
    held = (rows.filter(ended_at=None).exists() for rows in (AlertRule.objects, Objective.objects, Silence.objects))
    return any(held)
