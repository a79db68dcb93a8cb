from celery import shared_task

from mlorch_site.audit.checkpointing import checkpoint_if_due
from mlorch_site.audit.copy_delivery import copies_send
from mlorch_site.audit.refusal_counts import refusals_tell
from mlorch_site.audit.verification_runs import verification_carry_out
from mlorch_site.lib import clock


@shared_task(name="audit.checkpoint", queue="work")
def checkpoint() -> None:
    """Sign what was recorded since the last checkpoint, when that is due. Running it twice or at once is harmless."""
    checkpoint_if_due()


@shared_task(name="audit.verify", queue="work")
def verify() -> None:
    """Verify the whole record when somebody has asked for it. Running it twice or at once is harmless."""
    verification_carry_out()


@shared_task(name="audit.tell_refusals", queue="control")
def tell_refusals() -> None:
    """Record refusals that were only counted so far. Running it twice or at once is harmless."""
    refusals_tell()


@shared_task(name="audit.copies", queue="work")
def copies() -> None:
    """Send what second places of checkpoints lack. Running it twice or at once is harmless."""
    copies_send(now=clock.now())
