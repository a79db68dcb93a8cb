"""Tell a task to look, after the commit. Only a hint: the tick finds what a lost message missed.

Tasks are named, not imported: they call services, so services cannot import them.
"""

from enum import Enum
from functools import partial

import structlog
from celery import current_app
from django.db import transaction

log = structlog.get_logger(__name__)


class Task(Enum):
    """Name and queue of the tasks that services ask for."""

    CHECK_RELEASE = ("deployments.check_release", "work")


def enqueue_on_commit(task: Task, *args: str) -> None:
    """Send `task` to its queue once the transaction is committed; a broker that is away is only logged."""
    transaction.on_commit(partial(enqueue, task, *args), robust=True)


def enqueue(task: Task, *args: str) -> None:
    """Send `task` to its queue now; a broker that is away is only logged."""
    name, queue = task.value
    try:
        current_app.send_task(name, args, queue=queue)
    except Exception as error:  # whatever the broker's client raises: the tick does the work a second later
        log.warning("task.not_sent", task=name, error=type(error).__name__)
