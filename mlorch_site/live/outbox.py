"""Publish an event in the transaction of the change; tell browsers and handlers after the commit.

The row is the truth. What happens after the commit (the nudge to websockets, the relay task) is only a hint: when it is
lost, the sweep of `relay` delivers, and a browser that reconnects catches up by sequence.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet

from mlorch_site.lib import clock
from mlorch_site.lib.enqueue import TaskName, enqueue
from mlorch_site.live.models import Event, EventHead

log = structlog.get_logger(__name__)

RELAY_EVENTS = TaskName("live.relay_events", "control", expires_s=30)
RELAY_BATCH = 200
RETRY_FIRST_S = 1  # doubles with every attempt
RETRY_LAST_S = 600

type_Handler = Callable[[Event], None]
_handlers: dict[str, list[type_Handler]] = {}


def on_event(kind: str, handler: type_Handler) -> None:
    """Register `handler` for events of `kind`; called from an app's `ready`. Handlers must be safe to run twice."""
    if handler not in _handlers.setdefault(kind, []):
        _handlers[kind].append(handler)


def publish(topic: str, kind: str, data: dict[str, Any] | None = None) -> Event:
    """Write an event in the current transaction. `topic` is `<name>` or `<name>.<id>`; `data` holds ids, no secrets."""
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("An event belongs into the transaction of its change.")
    EventHead.objects.filter(pk=1).update(sequence=F("sequence") + 1)
    sequence = EventHead.objects.values_list("sequence", flat=True).get(pk=1)
    event = Event.objects.create(sequence=sequence, at=clock.now(), topic=topic, kind=kind, data=data or {})
    transaction.on_commit(partial(_after_commit, event), robust=True)
    return event


def group_of(topic: str) -> str:
    """The channel-layer group of a topic (groups allow ASCII letters, digits, hyphens, underscores and periods).

    Two topics may share a group: a message only says that it is time to look, and what is looked up is the topic
    itself.
    """
    return "topic." + "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in topic)[:90]


def nudge(event: Event) -> None:
    """Tell websockets that `event` happened. Best effort."""
    message = {
        "type": "live.event",
        "sequence": event.sequence,
        "topic": event.topic,
        "kind": event.kind,
        "data": event.data,
    }
    layer = get_channel_layer()
    if layer is not None:
        async_to_sync(layer.group_send)(group_of(event.topic), message)


def _after_commit(event: Event) -> None:
    try:
        nudge(event)
        if event.kind in _handlers:
            enqueue(RELAY_EVENTS)
    except Exception as error:  # the broker may be away; the sweep delivers later
        log.warning("event.nudge_failed", sequence=event.sequence, error=type(error).__name__)


def _waiting(now: datetime) -> QuerySet[Event]:
    """The events to tell the handlers about now."""
    return Event.objects.filter(Q(due_at=None) | Q(due_at__lte=now), relayed_at=None)


def is_waiting() -> bool:
    """Whether there is anything to relay."""
    return _waiting(clock.now()).exists()


def relay() -> int:
    """Tell the handlers about events nobody has been told about, in order; return how many.

    A handler that raises keeps its event unrelayed and does not stop the others: it is told again later and later, so
    that however many fail, those behind them get through.
    """
    now = clock.now()
    return sum(_tell(event, now) for event in _waiting(now).order_by("sequence")[:RELAY_BATCH])


def _tell(event: Event, now: datetime) -> int:
    """Return 1 when every handler of the event was told by this call, 0 when one failed or somebody else was first."""
    try:
        for handler in _handlers.get(event.kind, []):
            handler(event)
    except Exception:
        log.exception("event.handler_failed", sequence=event.sequence, kind=event.kind, attempts=event.attempts + 1)
        wait_s = min(RETRY_FIRST_S * 2 ** min(event.attempts, 30), RETRY_LAST_S)
        failed = Event.objects.filter(pk=event.pk, relayed_at=None, attempts=event.attempts)
        failed.update(attempts=event.attempts + 1, due_at=now + timedelta(seconds=wait_s))
        return 0
    return Event.objects.filter(pk=event.pk, relayed_at=None).update(relayed_at=now)
