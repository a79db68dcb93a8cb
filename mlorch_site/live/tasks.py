from celery import shared_task

from mlorch_site.live.outbox import RELAY_EVENTS, relay


@shared_task(name=RELAY_EVENTS.name, queue=RELAY_EVENTS.queue, expires=RELAY_EVENTS.expires_s)
def relay_events() -> None:
    """Deliver events of the outbox to their handlers. Running it twice or at the same time is harmless."""
    relay()
