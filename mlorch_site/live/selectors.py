"""Reads of the event table."""

from datetime import datetime
from typing import Any

from django.db.models import Count, Min

from mlorch_site.live.models import Event, EventHead
from mlorch_site.live.topics import is_of_one_thing

MISSED_MAX = 200


def newest_sequence() -> int:
    """The sequence of the newest event."""
    return EventHead.objects.values_list("sequence", flat=True).get(pk=1)


def topics_after(sequence: int | None, topics: list[str]) -> tuple[int, set[str]]:
    """The newest sequence, and which of `topics` have events after `sequence`: any may have when that is not in the
    table's past.
    """
    newest = newest_sequence()
    if sequence == newest or not topics:
        return newest, set()
    if sequence is None or sequence > newest:
        return newest, set(topics)
    rows = Event.objects.filter(topic__in=topics, sequence__gt=sequence).order_by()
    return newest, set(rows.values_list("topic", flat=True).distinct())


def unrelayed() -> tuple[int, datetime | None]:
    """How many events have not been told to their handlers, and when the oldest of them was published."""
    found = Event.objects.filter(relayed_at=None).aggregate(waiting=Count("sequence"), oldest=Min("at"))
    return found["waiting"], found["oldest"]


def events_after(topics: list[str], sequence: int) -> tuple[list[dict[str, Any]], bool]:
    """The events of `topics` after `sequence`, oldest first, and whether there were too many to list."""
    rows = list(Event.objects.filter(topic__in=topics, sequence__gt=sequence).order_by("sequence")[: MISSED_MAX + 1])
    return [message_of(event) for event in rows[:MISSED_MAX]], len(rows) > MISSED_MAX


def missed_since(topics: list[str], sequence: int) -> tuple[list[dict[str, Any]], bool]:
    """What a client that had reached `sequence` missed, and whether it must load its page again instead.

    It must when there is too much to list, when some of it is not kept any more, and when the client is ahead of the
    table (which was restored, or begun anew).
    """
    newest, oldest = newest_sequence(), Event.objects.order_by("sequence").values_list("sequence", flat=True).first()
    kept_from = newest + 1 if oldest is None else oldest
    if sequence > newest or sequence + 1 < kept_from:
        return [], True
    return events_after(topics, sequence)


def message_of(event: Event) -> dict[str, Any]:
    """An event as browsers get it.

    A list is open to everybody who may see something of it, so it is not said what of it changed.
    """
    data = event.data if is_of_one_thing(event.topic) else {}
    return {"type": "event", "sequence": event.sequence, "topic": event.topic, "kind": event.kind, "data": data}
