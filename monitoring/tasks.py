"""Roll-up and retention. Running them twice or together is harmless."""

from celery import shared_task

from mlorch_site.lib import clock
from monitoring.services import retention_apply, windows_roll_up


@shared_task(name="monitoring.rollup", queue="control")
def rollup() -> None:
    """Roll recent windows up."""
    windows_roll_up()


@shared_task(name="monitoring.retention", queue="work")
def retention() -> None:
    """Let old windows and events go."""
    retention_apply(now=clock.now())
