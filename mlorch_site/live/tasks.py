from celery import shared_task

from mlorch_site.live.outbox import relay


@shared_task(name="live.relay_events", queue="control", expires=30)
def relay_events() -> None:
    """Deliver events of the outbox to their handlers. Running it twice or at the same time is harmless."""
    relay()
