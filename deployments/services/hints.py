"""Tell a task to look, after the commit. Only a hint: the tick finds what a lost hint missed."""

from functools import partial
from typing import Any

import structlog
from django.db import transaction

log = structlog.get_logger(__name__)


def hint(task: Any, *args: str) -> None:
    """Send `task` to its queue once the transaction is committed; a broker that is away is only logged."""
    transaction.on_commit(partial(send, task, *args), robust=True)


def send(task: Any, *args: str) -> None:
    """Send `task` to its queue now; a broker that is away is only logged."""
    try:
        task.delay(*args)
    except Exception as error:  # whatever the broker's client raises: the tick does the work a second later
        log.warning("hint.not_sent", task=task.name, error=type(error).__name__)
