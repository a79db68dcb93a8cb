"""The Celery app. Messages carry ids only; rows are the truth, so losing or repeating a message is harmless."""

import os
from typing import Any

import structlog
from celery import Celery, Task
from celery.signals import task_postrun, task_prerun

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlorch_site.settings")

app = Celery("mlorch")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@task_prerun.connect
def _name_task(task_id: str, task: "Task[Any, Any]", args: tuple[Any, ...], **_: Any) -> None:
    """Let every line that a task logs say which task it was, and what it was about."""
    about = {"about": str(args[0])} if args else {}
    structlog.contextvars.bind_contextvars(task=task.name, task_id=task_id, **about)


@task_postrun.connect
def _forget_task(**_: Any) -> None:
    structlog.contextvars.clear_contextvars()
