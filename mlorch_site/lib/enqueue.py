"""Ask for a task. Only a hint: rows are the truth, and the ticks find what a lost message missed.

Tasks are named, not imported: they call services, so services cannot import them.
"""

from dataclasses import dataclass
from functools import partial

import structlog
from celery import current_app
from django.db import transaction

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class TaskName:
    """A task as services name it, and its queue. A message older than `expires_s` is thrown away unread."""

    name: str
    queue: str
    expires_s: float | None = None


def enqueue_on_commit(task: TaskName, *args: str) -> None:
    """Send `task` to its queue once the transaction is committed; a broker that is away is only logged."""
    transaction.on_commit(partial(enqueue, task, *args), robust=True)


def enqueue(task: TaskName, *args: str) -> None:
    """Send `task` to its queue now; a broker that is away is only logged."""
    try:
        current_app.send_task(task.name, args, queue=task.queue, expires=task.expires_s)
    except Exception as error:  # whatever the broker's client raises: the tick does the work a second later
        log.warning("task.not_sent", task=task.name, error=type(error).__name__)
