"""Reads of the event table."""

from typing import Any

from mlorch_site.live.models import Event, EventHead

MISSED_MAX = 200


def newest_sequence() -> int:
    """Return the sequence of the newest event."""
    return EventHead.objects.values_list("sequence", flat=True).get(pk=1)


def events_after(topics: list[str], sequence: int) -> tuple[list[dict[str, Any]], bool]:
    """Return the events of `topics` after `sequence`, oldest first, and whether there were too many to list."""
    rows = list(Event.objects.filter(topic__in=topics, sequence__gt=sequence).order_by("sequence")[: MISSED_MAX + 1])
    return [message_of(event) for event in rows[:MISSED_MAX]], len(rows) > MISSED_MAX


def message_of(event: Event) -> dict[str, Any]:
    """Return an event as browsers get it."""
    return {"type": "event", "sequence": event.sequence, "topic": event.topic, "kind": event.kind, "data": event.data}
