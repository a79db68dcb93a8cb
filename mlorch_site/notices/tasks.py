"""The clockwork of notices. Rows say what is due; running anything twice, late or at the same time is harmless."""

from celery import shared_task

from mlorch_site.lib import clock
from mlorch_site.lib.enqueue import TaskName, enqueue
from mlorch_site.notices.deliveries import deliveries_due, deliveries_forget, delivery_attempt, due_now
from mlorch_site.notices.digests import digests_due, digests_make
from mlorch_site.notices.services import notices_forget

DELIVER = TaskName("notices.deliver", "work", expires_s=60)


@shared_task(name="notices.tick", queue="control")
def tick() -> None:
    """Plan the digests that are due, and have sent what is due."""
    now = clock.now()
    digests_make(now=now)
    for pk in due_now(now):
        enqueue(DELIVER, pk)


def tick_is_due() -> bool:
    """Whether a tick would find anything to do. Cheap: asked every other second."""
    now = clock.now()
    return deliveries_due(now).exists() or digests_due(now).exists()


@shared_task(name=DELIVER.name, queue=DELIVER.queue, expires=DELIVER.expires_s)
def deliver(delivery_id: str) -> None:
    """Try to send one delivery."""
    delivery_attempt(delivery_id=delivery_id, now=clock.now())


@shared_task(name="notices.retention", queue="work")
def retention() -> None:
    """Forget old notices and deliveries."""
    now = clock.now()
    deliveries_forget(now=now)
    notices_forget(now=now)
