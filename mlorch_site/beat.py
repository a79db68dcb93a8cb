"""Beat, which asks first: a message for a task that would find nothing to do wakes several processes for nothing."""

from collections.abc import Callable
from typing import Any

import structlog
from celery.beat import PersistentScheduler
from django.utils.module_loading import import_string

from mlorch_site.lib.connections import Kept

log = structlog.get_logger(__name__)
kept = Kept()


class AskingScheduler(PersistentScheduler):
    """Sends a task of `app.conf.beat_questions` only when its question, a cheap read of the database, is answered with
    yes.

    A question that cannot be answered counts as yes: the task itself is as safe as ever.
    """

    def adjust(self, n: Any, drift: float = 0.0) -> Any:
        # Celery wakes 10 ms before an entry is due, and then asks again and again until it is.
        return n + drift if n and n > 0 else n

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        question = self.app.conf.beat_questions.get(entry.task)
        if question is None or _answer(import_string(question)):
            super().apply_entry(entry, producer=producer)

    def close(self) -> None:
        last_act = self.app.conf.beat_last_act
        if last_act:
            _carry_out(import_string(last_act))
        super().close()


def _carry_out(act: Callable[[], None]) -> None:
    try:
        act()
    except Exception as error:
        log.warning("beat.last_act_failed", act=act.__module__, error=type(error).__name__)


def _answer(question: Callable[[], bool]) -> bool:
    try:
        return kept.call(question)
    except Exception as error:
        log.warning("beat.unanswered", question=question.__module__, error=type(error).__name__)
        return True
