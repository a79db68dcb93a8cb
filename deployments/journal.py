"""What every change to a release or endpoint leaves behind: compare-and-swap, history, audit record, event, and the report at the end."""

from datetime import datetime
from typing import Any

from django.db.models import F

from deployments import limits
from deployments.lifecycle import ENDED_STATUSES, ReleaseStatus, check_release_move
from deployments.models import Endpoint, Release, ReleaseEvent
from deployments.reports.document import report_create
from mlorch_site import audit
from mlorch_site.accounts.actor import Actor
from mlorch_site.live import outbox

GOAL_TOPIC = "agents"


def release_move(
    release: Release,
    to: ReleaseStatus,
    *,
    actor: Actor,
    reason: str,
    now: datetime,
    on_behalf_of: str = "",
    **changes: Any,
) -> bool:
    """Move `release` to a status and return True, or return False when somebody was first. Belongs into a transaction.

    `changes` are further fields of the row. A release that ends gets its report. Raises IllegalTransition for a move the table does not have.
    """
    old = release.status
    check_release_move(old, to)
    values: dict[str, Any] = {"status_reason": reason[: limits.STATUS_REASON_MAX_CHARS], "due_at": now, **changes}
    if to in ENDED_STATUSES:
        values |= {"ended_at": now, "due_at": None}
    if not release_swap(release, status=to.value, **values):
        return False
    event_add(release, f"release.{to.value}", reason, actor=actor, now=now, old=old, new=to.value)
    audit.record(
        _on_behalf(actor, on_behalf_of),
        f"release.{to.value}",
        release_subject(release),
        reason=reason,
        data={"old": old, "new": to.value, "content_hash": release.content_hash, "digest": release.digest},
    )
    if to in ENDED_STATUSES:
        report_create(release, now=now)
    announce(release)
    return True


def release_swap(release: Release, **values: Any) -> bool:
    """Write `values` unless the row changed since `release` was read; on success `release` carries them."""
    rows = Release.objects.filter(pk=release.pk, row_version=release.row_version)
    if not rows.update(row_version=F("row_version") + 1, **values):
        return False
    release.row_version += 1
    for name, value in values.items():
        setattr(release, name, value)
    return True


def event_add(
    release: Release,
    kind: str,
    sentence: str,
    *,
    actor: Actor,
    now: datetime,
    old: str = "",
    new: str = "",
    data: dict[str, Any] | None = None,
) -> ReleaseEvent:
    """Add one line to the release's history."""
    return ReleaseEvent.objects.create(
        release=release, at=now, kind=kind, old=old, new=new, sentence=sentence, actor=actor.name, data=data or {}
    )


def announce(release: Release) -> None:
    """Publish that the release changed, on its own topic and on the list's."""
    data = {"release": str(release.pk), "status": release.status}
    outbox.publish(f"release.{release.pk}", "release.changed", data)
    outbox.publish("releases", "release.changed", data)


def announce_endpoint(endpoint: Endpoint) -> None:
    """Publish that the endpoint changed."""
    topic = f"endpoint.{endpoint.environment.name}.{endpoint.name}"
    outbox.publish(topic, "endpoint.changed", {"environment": endpoint.environment.name, "endpoint": endpoint.name})


def announce_goal() -> None:
    """Publish that agents should run something else: those that wait for it ask again."""
    outbox.publish(GOAL_TOPIC, "goal.changed")


def endpoint_subject(endpoint: Endpoint) -> audit.Subject:
    """Return how the audit record names an endpoint."""
    return audit.Subject("endpoint", str(endpoint.pk), str(endpoint))


def release_subject(release: Release) -> audit.Subject:
    """Return how the audit record names a release."""
    return audit.Subject("release", str(release.pk), str(release))


def _on_behalf(actor: Actor, person: str) -> Actor:
    if not person or person == actor.name:
        return actor
    return Actor(kind=actor.kind, name=actor.name, on_behalf_of=person)
