from celery import shared_task

from mlorch_site.audit.checkpointing import checkpoint_if_due
from mlorch_site.audit.copy_delivery import copies_send
from mlorch_site.lib import clock


@shared_task(name="audit.checkpoint", queue="work")
def checkpoint() -> None:
    """Sign what was recorded since the last checkpoint, when that is due. Running it twice or at once is harmless."""
    checkpoint_if_due()


@shared_task(name="audit.copies", queue="work")
def copies() -> None:
    """Send what second places of checkpoints lack. Running it twice or at once is harmless."""
    copies_send(now=clock.now())
