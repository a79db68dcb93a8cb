"""What deployments does on news from below: a decided approval lets its release go on at once. Only a hint; the tick looks too."""

from mlorch_site.lib import clock
from mlorch_site.live.models import Event
from mlorch_site.live.outbox import on_event

SUBJECT_KIND = "release"


def hear_approvals() -> None:
    """Register for changes of approval requests."""
    on_event("approval.changed", _approval_changed)


def _approval_changed(event: Event) -> None:
    from deployments.services.progress import release_look

    if event.data.get("subject_kind") == SUBJECT_KIND:
        release_look(release_id=event.data["subject_id"], now=clock.now())
